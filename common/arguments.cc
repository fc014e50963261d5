#include "common/arguments.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/terminal_text.h"

namespace fanwire {
namespace {

// Rewrites CLI11's messages "--server: At Most 1 required but received 2" and "--server: 1 required
// ADDR missing".
std::string WrongCount(absl::string_view message) {
  const size_t colon = message.find(": ");
  if (colon == absl::string_view::npos) return std::string(message);
  const absl::string_view option = message.substr(0, colon);
  const std::vector<absl::string_view> words = absl::StrSplit(message.substr(colon + 2), ' ');
  if (words.back() == "missing" && words.size() == 4) {
    return absl::StrCat(option, " needs ", words[2]);
  }
  if (words.front() == "At" && words.size() > 1) {
    return absl::StrCat(option, " is given ", words.back(), " times; give it once");
  }
  return std::string(message);
}

}  // namespace

std::string ArgumentProblem(const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    return WrongCount(error.what());
  }
  if (dynamic_cast<const CLI::RequiresError*>(&error) != nullptr) {
    return absl::StrReplaceAll(error.what(), {{" requires ", " needs "}});
  }
  return error.what();
}

int UsageFault(absl::string_view program, absl::string_view problem) {
  std::cerr << absl::StrCat(program, ": ", EscapeControls(problem), "; see ", program, " --help\n");
  return kExitUsage;
}

std::optional<int> ParseArguments(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help or --version
    return app.exit(asked);
  } catch (const CLI::ExtrasError&) {
    return UsageFault(app.get_name(),
                      absl::StrCat("unexpected argument: ", absl::StrJoin(app.remaining(), " ")));
  } catch (const CLI::ParseError& error) {
    return UsageFault(app.get_name(), ArgumentProblem(error));
  }
  return std::nullopt;
}

std::string CheckNumber(absl::string_view text, uint64_t min, uint64_t max) {
  uint64_t number = 0;
  if (absl::SimpleAtoi(text, &number) && number >= min && number <= max) return "";
  return absl::StrCat("\"", text, "\" is not a number from ", min, " to ", max);
}

}  // namespace fanwire
