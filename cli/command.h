// Command is one node of wsctl's command tree: a group of commands, or a command with its
// arguments, flags, help and the function that it runs.  It hides CLI11 from the commands.
//
//   auto options = std::make_shared<DrainOptions>();
//   workers.AddCommand("drain", "Drain a worker", "wsctl workers drain worker-0",
//                      [options](Invocation& run) { return RunDrain(*options, …); })
//       .Argument("WORKER", &options->worker, "which one", Values::kWorkers);
//
// Threading: belongs to one thread.
// Ownership: the CommandTree owns the nodes.  The targets of arguments and flags must outlive it;
//            they do if the command's `run` function holds them by shared_ptr, as above.
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

// The kind of values that a shell offers for an argument or flag.
enum class Values { kNone, kFiles, kServices, kWorkers, kContexts, kShells, kLogLevels };

class CommandTree;

class Command {
 public:
  // `example` is a complete command line that works as written; the help ends with it.
  Command AddGroup(const std::string& name, const std::string& summary, const std::string& example);
  Command AddCommand(const std::string& name, const std::string& summary,
                     const std::string& example, Run run);
  // Adds the command `help COMMAND…`, which prints the help of another command.
  void AddHelpCommand();
  // Leaves this command out of help and completion: for second names of a command.
  Command& Hidden();
  // Adds paragraphs to the help, between the options and the example.
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
  // Durations shorter than `min` are refused.
  Command& Duration(const std::string& name, std::optional<absl::Duration>* target,
                    const std::string& help, absl::Duration min = absl::ZeroDuration());

  // Adds the flags of commands that print a table, --wide and --columns.
  Command& TableFlags();
  // Accepts any bytes for the argument or flag `name`.  Others must be UTF-8, because control would
  // refuse a call with anything else; names of files may be any bytes, too.
  Command& AnyBytes(const std::string& name);

  // A flag whose value is one of `choices`.  The value of `target` before parsing is the default.
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
  // Where TableFlags() write.  Both must outlive the tree.
  void SetTableTargets(bool* wide, std::string* columns);

  struct Parsed {
    enum class Kind { kRun, kHelp, kUsageError } kind;
    std::string text;  // kHelp: the help or version.  kUsageError: the error message
    const Run* run = nullptr;
  };
  // Parses `arguments`, which do not include the program's name, and sets the targets of the
  // arguments and flags that they contain.  A group that has a command `list` means that command if
  // none is named: "services --wide" is "services list --wide".
  Parsed Parse(const std::vector<std::string>& arguments);

  // Returns the completions of the last of `words`, which may be a prefix or empty.  `values`
  // returns the values that are known only at run time, such as names of services.  The completion
  // ":files" tells the shell to offer file names.
  std::vector<std::string> Complete(
      const std::vector<std::string>& words,
      const std::function<std::vector<std::string>(Values)>& values) const;

  // The example command line of each command.
  std::vector<std::string> Examples() const;
  // The path of each command: {"workers", "drain"}.
  std::vector<std::vector<std::string>> Paths() const;

 private:
  friend class Command;
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace fanwire::cli
