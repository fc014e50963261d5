// Command is one node of wsctl's command tree: a group of commands, or a command with its
// arguments, flags, help and what it runs.  CLI11 stays behind it.
//
//   auto options = std::make_shared<DrainOptions>();
//   workers.AddCommand("drain", "Drain a worker", "wsctl workers drain worker-0",
//                      [options](Invocation& run) { return RunDrain(*options, …); })
//       .Argument("WORKER", &options->worker, "which one", Values::kWorkers);
//
// Threading: none.
// Ownership: the CommandTree owns the nodes; targets of arguments and flags outlive it, which they
//            do when the run holds them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace fanwire::cli {

class Invocation;

using Run = std::function<absl::Status(Invocation&)>;

// What a shell completes an argument or flag with.
enum class Values { kNone, kFiles, kServices, kWorkers, kShells, kLogLevels };

class CommandTree;

class Command {
 public:
  // `example` is a line that runs as it stands; help ends with it.
  Command AddGroup(const std::string& name, const std::string& summary, const std::string& example);
  Command AddCommand(const std::string& name, const std::string& summary,
                     const std::string& example, Run run);
  // More names for the same; shown in no list.
  Command& Hidden();
  // Paragraphs between usage and example.
  Command& Details(const std::string& text);

  Command& Argument(const std::string& name, std::string* target, const std::string& help,
                    Values values = Values::kNone);
  Command& OptionalArgument(const std::string& name, std::string* target, const std::string& help,
                            Values values = Values::kNone);
  Command& Arguments(const std::string& name, std::vector<std::string>* target,
                     const std::string& help, Values values = Values::kNone);

  Command& Flag(const std::string& name, bool* target, const std::string& help);
  Command& Text(const std::string& name, const std::string& placeholder, std::string* target,
                const std::string& help, Values values = Values::kNone);
  // May be given several times.
  Command& Texts(const std::string& name, const std::string& placeholder,
                 std::vector<std::string>* target, const std::string& help);
  Command& Number(const std::string& name, uint32_t* target, uint32_t min, uint32_t max,
                  const std::string& help);
  Command& Duration(const std::string& name, std::optional<absl::Duration>* target,
                    const std::string& help);

  // One of `choices`; `target` is the default.
  template <typename Enum>
  Command& Choice(const std::string& name, Enum* target,
                  std::vector<std::pair<std::string, Enum>> choices, const std::string& help) {
    std::vector<std::string> names;
    names.reserve(choices.size());
    for (const auto& choice : choices) names.push_back(choice.first);
    return AddChoice(name, std::move(names), help,
                     [target, choices = std::move(choices)](const std::string& chosen) {
                       for (const auto& choice : choices) {
                         if (choice.first == chosen) *target = choice.second;
                       }
                     });
  }

 private:
  friend class CommandTree;
  Command(CommandTree* tree, CLI::App* app) : tree_(tree), app_(app) {}

  Command& AddChoice(const std::string& name, std::vector<std::string> names,
                     const std::string& help, std::function<void(const std::string&)> set);

  CommandTree* tree_;
  CLI::App* app_;
};

class CommandTree {
 public:
  CommandTree(const std::string& summary, const std::string& name);
  ~CommandTree();
  CommandTree(const CommandTree&) = delete;
  CommandTree& operator=(const CommandTree&) = delete;

  Command root();

  struct Parsed {
    enum class Kind { kRun, kHelp, kUsageError } kind;
    std::string text;  // help or version, or what is wrong with the usage
    const Run* run = nullptr;
  };
  // Sets the targets of what `arguments` (without the program's name) name.
  Parsed Parse(const std::vector<std::string>& arguments);

  // What could stand for the last of `words`, which may be cut short or empty.  `values` is asked
  // for what only a running control knows; ":files" stands for the shell's own file names.
  std::vector<std::string> Complete(
      const std::vector<std::string>& words,
      const std::function<std::vector<std::string>(Values)>& values) const;

  // A line of each command's help that must run.
  std::vector<std::string> Examples() const;
  // Every command's words: {"workers", "drain"}.
  std::vector<std::vector<std::string>> Paths() const;

 private:
  friend class Command;
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace fanwire::cli
