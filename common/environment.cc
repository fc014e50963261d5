#include "common/environment.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

extern char** environ;

namespace fanwire {

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

absl::Status ExpandVariables(const EnvironmentLookup& environment, std::string* text) {
  std::string out;
  size_t at = 0;
  while (at < text->size()) {
    const size_t start = text->find("${", at);
    if (start == std::string::npos) {
      out += text->substr(at);
      break;
    }
    if (start > at && (*text)[start - 1] == '$') {  // "$${" is a plain "${"
      out += text->substr(at, start - at - 1) + "${";
      at = start + 2;
      continue;
    }
    const size_t end = text->find('}', start);
    if (end == std::string::npos) return absl::InvalidArgumentError("\"${\" without \"}\"");
    out += text->substr(at, start - at);
    std::string name = text->substr(start + 2, end - start - 2);
    std::string fallback;
    bool has_fallback = false;
    if (const size_t dash = name.find(":-"); dash != std::string::npos) {
      fallback = name.substr(dash + 2);
      name.resize(dash);
      has_fallback = true;
    }
    const char* value = environment(name);
    if (value != nullptr && (*value != '\0' || !has_fallback)) {
      out += value;
    } else if (has_fallback) {
      out += fallback;
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          "environment variable ", name, " is not set; \"${", name, ":-}\" would allow that"));
    }
    at = end + 1;
  }
  *text = std::move(out);
  return absl::OkStatus();
}

}  // namespace fanwire
