#include "common/environment.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/utf8.h"

extern char** environ;

namespace fanwire {
namespace {

// How deep defaults may lie in each other.
constexpr int kMaxNesting = 16;

bool IsVariableName(absl::string_view name) {
  const auto fits = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  return !name.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), fits);
}

// The index of the "}" that belongs to the "${" at `start`, or npos.
size_t FindEnd(absl::string_view text, size_t start) {
  int open = 0;
  for (size_t i = start; i < text.size(); ++i) {
    if (text[i] == '}' && --open == 0) return i;
    if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '{') ++open;
  }
  return absl::string_view::npos;
}

class Expander {
 public:
  Expander(const EnvironmentLookup& environment, size_t max_bytes, std::string* out)
      : environment_(environment), max_bytes_(max_bytes), out_(out) {}

  absl::Status Expand(absl::string_view text, int nesting) {
    size_t at = 0;
    for (;;) {
      const size_t start = std::min(text.find("${", at), text.size());
      if (start > at && start < text.size() && text[start - 1] == '$') {  // "$${" is a plain "${"
        if (absl::Status status = Append(text.substr(at, start - at - 1)); !status.ok()) {
          return status;
        }
        if (absl::Status status = Append("${"); !status.ok()) return status;
        at = start + 2;
        continue;
      }
      if (absl::Status status = Append(text.substr(at, start - at)); !status.ok()) return status;
      if (start == text.size()) return absl::OkStatus();
      const size_t end = FindEnd(text, start);
      if (end == absl::string_view::npos) {
        return absl::InvalidArgumentError("\"${\" without \"}\"; \"$${\" is a plain \"${\"");
      }
      const absl::string_view variable = text.substr(start + 2, end - start - 2);
      if (absl::Status status = ExpandOne(variable, nesting); !status.ok()) return status;
      at = end + 1;
    }
  }

 private:
  // `variable` is what stands between "${" and "}".
  absl::Status ExpandOne(absl::string_view variable, int nesting) {
    const size_t dash = variable.find(":-");
    const bool has_default = dash != absl::string_view::npos;
    const std::string name(variable.substr(0, dash));
    if (!IsVariableName(name)) {
      return absl::InvalidArgumentError(absl::StrCat("expected ${NAME} or ${NAME:-default}, found ",
                                                     QuotedText(absl::StrCat("${", variable, "}")),
                                                     "; a name has letters, digits and \"_\""));
    }
    const char* const value = environment_(name);
    if (value != nullptr && (*value != '\0' || !has_default)) {
      if (const std::string fault = TextFault(value); !fault.empty()) {
        return absl::InvalidArgumentError(absl::StrCat("environment variable ", name, ": ", fault));
      }
      return Append(value);
    }
    if (!has_default) {
      return absl::InvalidArgumentError(absl::StrCat(
          "environment variable ", name, " is not set; \"${", name, ":-}\" would allow that"));
    }
    if (nesting == kMaxNesting) {
      return absl::InvalidArgumentError(
          absl::StrCat("defaults are nested more than ", kMaxNesting, " deep"));
    }
    return Expand(variable.substr(dash + 2), nesting + 1);
  }

  absl::Status Append(absl::string_view text) {
    if (text.size() > max_bytes_ - out_->size()) {
      return absl::ResourceExhaustedError(absl::StrCat("the text has more than ", max_bytes_,
                                                       " bytes after its variables are replaced"));
    }
    out_->append(text.data(), text.size());
    return absl::OkStatus();
  }

  const EnvironmentLookup& environment_;
  const size_t max_bytes_;
  std::string* const out_;
};

}  // namespace

EnvironmentLookup ProcessEnvironment() {
  return [](const std::string& name) { return std::getenv(name.c_str()); };
}

std::vector<std::string> EnvironmentVariables() {
  std::vector<std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    variables.emplace_back(*entry);
  }
  return variables;
}

absl::Status ExpandVariables(const EnvironmentLookup& environment, std::string* text,
                             size_t max_bytes) {
  std::string out;
  absl::Status status = Expander(environment, max_bytes, &out).Expand(*text, 0);
  if (status.ok()) *text = std::move(out);
  return status;
}

}  // namespace fanwire
