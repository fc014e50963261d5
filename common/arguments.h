// Reads the command line of a server program, and tells a person what is wrong with it in one line:
//
//   fanwire-fanout: --slot: "many" is not a number from 0 to 4294967295; see fanwire-fanout --help
//
// wsctl, which has commands, reads its own (cli/command.h) and shares ArgumentProblem().
//
// Threading: pure functions; ParseArguments() writes to stdout or stderr.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace fanwire {

// The exit code of a server program whose command line or configuration is wrong.
inline constexpr int kExitUsage = 2;

// Reads the command line into the targets of `app`.  Returns the exit code if the program should
// end: 0 after --help and --version, which were printed to stdout, kExitUsage after an error, which
// was printed to stderr.
std::optional<int> ParseArguments(CLI::App& app, int argc, char** argv);

// Prints that an argument of `program` is wrong, and where help is.  Returns kExitUsage.
int UsageFault(absl::string_view program, absl::string_view problem);

// Says in plain English what is wrong with the arguments.  Unsafe characters are not escaped.
std::string ArgumentProblem(const CLI::ParseError& error);

// Returns "" if `text` is a whole number of the range, otherwise what is wrong with it.
std::string CheckNumber(absl::string_view text, uint64_t min, uint64_t max);

}  // namespace fanwire
