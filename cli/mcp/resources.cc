#include "cli/mcp/resources.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cli/mcp/rpc_message.h"

namespace fanwire::cli {
namespace {

constexpr char kScheme[] = "fanwire://docs/";
constexpr char kCatalog[] = "fanwire://catalog";

// The document's first heading.
absl::string_view TitleOf(const Document& document) {
  absl::string_view text = document.text;
  while (!text.empty() && !absl::ConsumePrefix(&text, "# ")) {
    const size_t end = text.find('\n');
    text.remove_prefix(end == absl::string_view::npos ? text.size() : end + 1);
  }
  const absl::string_view title = text.substr(0, text.find('\n'));
  return title.empty() ? document.name : title;
}

}  // namespace

std::string ResourceListMembers() {
  std::string list;
  for (const Document& document : Documents()) {
    absl::StrAppend(&list, list.empty() ? "" : ",",
                    "{\"uri\":", RpcText(absl::StrCat(kScheme, document.name)),
                    ",\"name\":", RpcText(document.name), ",\"title\":", RpcText(TitleOf(document)),
                    ",\"mimeType\":\"text/markdown\",\"size\":", document.text.size(), "}");
  }
  absl::StrAppend(&list, R"(,{"uri":")", kCatalog, R"(","name":"catalog","title":"Events of all )",
                  R"(services","mimeType":"application/json"})");
  return absl::StrCat("\"resources\":[", list, "]");
}

std::string ResourceTemplateMembers() {
  return absl::StrCat(
      R"("resourceTemplates":[{"uriTemplate":")", kCatalog,
      R"(/{service}","name":"service catalog","title":"JSON Schema of a service's )",
      R"(events","mimeType":"application/schema+json"}])");
}

bool IsCatalog(absl::string_view uri) { return uri == kCatalog || !CatalogService(uri).empty(); }

std::string CatalogService(absl::string_view uri) {
  if (!absl::ConsumePrefix(&uri, kCatalog) || !absl::ConsumePrefix(&uri, "/")) return "";
  return std::string(uri);
}

std::string DocumentMembers(absl::string_view uri) {
  absl::string_view name = uri;
  if (!absl::ConsumePrefix(&name, kScheme)) return "";
  for (const Document& document : Documents()) {
    if (document.name != name) continue;
    return absl::StrCat("\"contents\":[{\"uri\":", RpcText(uri),
                        ",\"mimeType\":\"text/markdown\",\"text\":", RpcText(document.text), "}]");
  }
  return "";
}

}  // namespace fanwire::cli
