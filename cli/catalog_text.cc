#include "cli/catalog_text.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/catalog_schema.h"

namespace fanwire::cli {

namespace {

std::string Quoted(absl::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// A name of TypeScript: "session_buddy", "OrderPlaced".
std::string Identifier(absl::string_view text) {
  std::string name(text);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !absl::ascii_isalnum(c); }, '_');
  if (name.empty() || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) name.insert(0, "_");
  return name;
}

// "WorkflowStarted" of the message's name, or of the event's.
std::string InterfaceName(const CatalogEvent& event) {
  if (!event.message.empty()) {
    return Identifier(event.message.substr(event.message.rfind('.') + 1));
  }
  std::string name;
  bool upper = true;
  for (const char c : event.name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c))) {
      upper = true;
      continue;
    }
    name.push_back(upper ? absl::ascii_toupper(static_cast<unsigned char>(c)) : c);
    upper = false;
  }
  return Identifier(name);
}

// A comment without the text that would end it.
std::string Comment(absl::string_view text, absl::string_view indent) {
  if (text.empty()) return "";
  return absl::StrCat(indent, "/** ", absl::StrReplaceAll(text, {{"*/", "* /"}}), " */\n");
}

std::string MembersOf(const std::vector<CatalogKey>& keys, bool closed, const std::string& indent);

std::string TypeScriptType(const CatalogKey& key, const std::string& indent) {
  switch (key.type) {
    case CatalogType::kAny:
      return "Json";
    case CatalogType::kText: {
      if (key.values.empty()) return "string";
      return absl::StrJoin(key.values, " | ", [](std::string* out, const std::string& value) {
        absl::StrAppend(out, Quoted(value));
      });
    }
    case CatalogType::kInt32:
    case CatalogType::kInt64:
    case CatalogType::kUint32:
    case CatalogType::kUint64:
    case CatalogType::kNumber:
      return "number";
    case CatalogType::kBoolean:
      return "boolean";
    case CatalogType::kObject:
      if (key.keys.empty()) return "JsonObject";
      return absl::StrCat("{\n", MembersOf(key.keys, false, indent + "  "), indent, "}");
    case CatalogType::kList:
      return key.keys.empty() ? "Json[]"
                              : absl::StrCat("Array<", TypeScriptType(key.keys[0], indent), ">");
    case CatalogType::kMap:
      return absl::StrCat("{ [key: string]: ",
                          key.keys.empty() ? "Json" : TypeScriptType(key.keys[0], indent), " }");
  }
  return "Json";
}

std::string MembersOf(const std::vector<CatalogKey>& keys, bool closed, const std::string& indent) {
  std::string out;
  for (const CatalogKey& key : keys) {
    const std::string name = Identifier(key.name) == key.name ? key.name : Quoted(key.name);
    absl::StrAppend(&out, Comment(key.comment, indent), indent, name, key.optional ? "?: " : ": ",
                    TypeScriptType(key, indent), key.optional ? " | null" : "", ";\n");
  }
  if (!closed) absl::StrAppend(&out, indent, "[key: string]: unknown;\n");
  return out;
}

constexpr char kTypeScriptHead[] =
    R"(// The events of Fanwire's services.  Made by `wsctl catalog export --format typescript`.

export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };

/** An event as clients receive it. */
export interface Envelope<Name extends string = string, Data = JsonObject> {
  id: string;
  correlation_id: null;
  type: "event";
  event: Name;
  data: Data;
  timestamp: string;
  /** The channel. */
  room: string;
  error_code: null;
  error_message: null;
  /** The position in the channel's epoch; absent if the event skips history. */
  offset?: number;
  epoch?: string;
}
)";

constexpr char kTypeScriptTail[] = R"(
/** Every event that a service sends, as clients receive it. */
export type EventOf<Service extends keyof Services> = {
  [Name in keyof Services[Service] & string]: Envelope<Name, Services[Service][Name]>;
}[keyof Services[Service] & string];
)";

// ------------------------------------------------------------------------------- markdown

// Text in a cell of a table.
std::string CellText(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"|", "\\|"}, {"\n", " "}, {"<", "&lt;"}});
}

std::string Code(absl::string_view text) { return absl::StrCat("`", text, "`"); }

void AppendRows(const std::vector<CatalogKey>& keys, const std::string& prefix, std::string* out) {
  for (const CatalogKey& key : keys) {
    absl::StrAppend(out, "| ", Code(prefix + key.name), " | ", TypeText(key), " | ",
                    key.nullable   ? "optional, usually null"
                    : key.optional ? "optional"
                                   : "",
                    " | ", CellText(key.comment), " |\n");
    const bool list = key.type == CatalogType::kList && !key.keys.empty();
    const CatalogKey& inner = list ? key.keys[0] : key;
    if (inner.type == CatalogType::kObject) {
      AppendRows(inner.keys, absl::StrCat(prefix, key.name, list ? "[]." : "."), out);
    }
  }
}

void AppendEvent(const CatalogEvent& event, std::string* out) {
  absl::StrAppend(out, "\n### ", event.name, "\n");
  std::vector<std::string> channels;
  for (const std::string& channel : event.channels) channels.push_back(Code(channel));
  absl::StrAppend(out, event.comment, event.comment.empty() ? "" : " ",
                  channels.empty() ? std::string("On any channel.")
                                   : absl::StrCat("On ", absl::StrJoin(channels, " and "), "."));
  if (!event.message.empty()) absl::StrAppend(out, " Message ", Code(DefinitionName(event)), ".");
  if (event.status == CatalogEvent::Status::kPlanned) absl::StrAppend(out, " *Planned.*");
  if (event.status == CatalogEvent::Status::kTest) absl::StrAppend(out, " *For tests.*");
  absl::StrAppend(out, "\n\n");
  if (!event.keys.empty()) {
    absl::StrAppend(out, "| Key | Type |  | Meaning |\n|---|---|---|---|\n");
    AppendRows(event.keys, "", out);
  }
  for (const CatalogKey& key : event.routing_keys) {
    absl::StrAppend(out, event.keys.empty() ? "" : "\n", "Field ", Code(key.name),
                    " of the message is for the channel only.", key.comment.empty() ? "" : " ",
                    key.comment, "\n");
  }
  if (event.spread) absl::StrAppend(out, "\nData may have further keys.\n");
  if (event.closed) absl::StrAppend(out, "\nData has no further keys.\n");
}

}  // namespace

std::string TypeText(const CatalogKey& key) {
  switch (key.type) {
    case CatalogType::kText:
      return key.values.empty() ? "text" : absl::StrJoin(key.values, ", ");
    case CatalogType::kInt64:
    case CatalogType::kUint64:
      return key.type == CatalogType::kInt64 ? "whole number" : "whole number from 0";
    case CatalogType::kInt32:
      return "whole number, 32 bits";
    case CatalogType::kUint32:
      return "whole number from 0, 32 bits";
    case CatalogType::kNumber:
      return "number";
    case CatalogType::kBoolean:
      return "true, false";
    case CatalogType::kObject:
      return "object";
    case CatalogType::kList:
      return key.keys.empty() ? "list" : absl::StrCat("list: ", TypeText(key.keys[0]));
    case CatalogType::kMap:
      return key.keys.empty() ? "object" : absl::StrCat("object: ", TypeText(key.keys[0]));
    case CatalogType::kAny:
      break;
  }
  return "anything";
}

std::string TypeScriptOf(const std::vector<ServiceCatalog>& catalogs) {
  std::string out = kTypeScriptHead;
  std::string services = "\nexport interface Services {\n";
  for (const ServiceCatalog& catalog : catalogs) {
    if (catalog.events.empty()) continue;
    const std::string space = Identifier(catalog.service);
    absl::StrAppend(&out, "\nexport namespace ", space, " {\n");
    std::map<std::string, std::vector<std::string>> forms;
    for (const CatalogEvent& event : catalog.events) {
      const std::string name = InterfaceName(event);
      absl::StrAppend(&out, Comment(event.comment, "  "), "  export interface ", name, " {\n",
                      MembersOf(event.keys, event.closed, "    "), "  }\n");
      forms[event.name].push_back(absl::StrCat(space, ".", name));
    }
    absl::StrAppend(&out, "}\n");
    absl::StrAppend(&services, "  ", Quoted(catalog.service), ": {\n");
    for (const auto& [event, names] : forms) {
      absl::StrAppend(&services, "    ", Quoted(event), ": ", absl::StrJoin(names, " | "), ";\n");
    }
    absl::StrAppend(&services, "  };\n");
  }
  return absl::StrCat(out, services, "}\n", kTypeScriptTail);
}

std::string MarkdownOf(const std::vector<ServiceCatalog>& catalogs) {
  std::string out;
  for (const ServiceCatalog& catalog : catalogs) {
    if (catalog.events.empty()) continue;
    absl::StrAppend(&out, "\n## ", catalog.service, "\n");
    for (const CatalogEvent& event : catalog.events) AppendEvent(event, &out);
  }
  return out;
}

}  // namespace fanwire::cli
