#include "cli/command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <set>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/exit_code.h"
#include "cli/invocation.h"
#include "cli/text.h"
#include "common/arguments.h"
#include "common/check.h"
#include "common/edit_distance.h"
#include "common/terminal_text.h"
#include "common/version.h"

namespace fanwire::cli {
namespace {

constexpr int kHelpColumn = 32;

// Formats options as usage lines write them, and ends the help with the footer.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kHelpColumn); }

  std::string make_footer(const CLI::App* app) const override { return app->get_footer(); }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0 || option->get_type_name().empty()) return "";
    return absl::StrCat(" ", option->get_type_name());
  }
};

bool IsVisible(const CLI::App* app) { return !app->get_group().empty(); }

std::vector<const CLI::App*> Children(const CLI::App* app) {
  return app->get_subcommands([](const CLI::App*) { return true; });
}

const CLI::App* FindChild(const CLI::App* app, const std::string& name) {
  for (const CLI::App* child : Children(app)) {
    if (child->get_name() == name) return child;
  }
  return nullptr;
}

std::string PathOf(const CLI::App* app) {
  if (app->get_parent() == nullptr) return app->get_name();
  return absl::StrCat(PathOf(app->get_parent()), " ", app->get_name());
}

// The innermost command that the arguments name.
CLI::App* Innermost(CLI::App* app) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().back();
  return app;
}

// Whether `option` takes the next word as its value.
bool TakesValue(const CLI::Option* option) {
  return option != nullptr && option->get_items_expected_max() > 0;
}

// Returns the option of this name of `app` or of a group that `app` is in.
const CLI::Option* FindOption(const CLI::App* app, const std::string& name) {
  for (const CLI::App* node = app; node != nullptr; node = node->get_parent()) {
    if (const CLI::Option* option = node->get_option_no_throw(name)) return option;
  }
  return nullptr;
}

// The command that `app` stands for if none of its commands is named; null if there is none.
const CLI::App* DefaultOf(const CLI::App* app) { return FindChild(app, "list"); }

// Names the default command of a group that `words` name without a command.
std::vector<std::string> WithDefault(const CLI::App& root, std::vector<std::string> words) {
  const CLI::App* app = &root;
  size_t after_group = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--" || word == "-h" || word == "--help") return words;
    if (word.size() > 1 && word[0] == '-') {
      if (TakesValue(FindOption(app, word))) ++i;
      continue;
    }
    // A second word is one of the group's commands, or a mistake.
    if (after_group > 0) return words;
    const CLI::App* group = FindChild(&root, word);
    if (group == nullptr || DefaultOf(group) == nullptr) return words;
    app = DefaultOf(group);
    after_group = i + 1;
  }
  if (after_group > 0) {
    words.insert(words.begin() + static_cast<int64_t>(after_group), app->get_name());
  }
  return words;
}

// Returns the first of `extras`, the words that `app` does not know, that is neither a flag nor a
// flag's value; empty if there is none.
std::string FirstWord(const CLI::App* app, const std::vector<std::string>& extras) {
  const CLI::App* known = DefaultOf(app) != nullptr ? DefaultOf(app) : app;
  for (size_t i = 0; i < extras.size(); ++i) {
    if (!absl::StartsWith(extras[i], "-")) return extras[i];
    if (TakesValue(FindOption(known, extras[i]))) ++i;
  }
  return "";
}

std::string UnknownCommand(const CLI::App* app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* child : Children(app)) {
    if (IsVisible(child)) names.push_back(child->get_name());
  }
  const std::string nearest = NearestName(word, names, 2);
  return absl::StrCat("unknown command \"", EscapeControls(word), "\"",
                      nearest.empty() ? "" : absl::StrCat("; did you mean \"", nearest, "\"?"));
}

}  // namespace

struct CommandTree::State {
  explicit State(const std::string& summary, const std::string& name) : app(summary, name) {}

  CLI::App app;
  std::map<const CLI::App*, Run> runs;
  std::map<const CLI::App*, std::string> examples;
  std::map<const CLI::App*, std::string> details;
  std::map<const CLI::Option*, Values> values;
  std::map<const CLI::Option*, std::vector<std::string>> choices;
  std::set<const CLI::Option*> any_bytes;  // values that need not be UTF-8
  const CLI::App* help = nullptr;          // the command `help`, which shows the help of help_words
  std::vector<std::string> help_words;
  bool* wide = nullptr;
  std::string* columns = nullptr;

  // Returns what is wrong with the bytes of the arguments of `app`; empty: nothing.
  std::string BadBytes(const CLI::App* app) const {
    for (const CLI::App* node = app; node != nullptr; node = node->get_parent()) {
      for (const CLI::Option* option : node->get_options()) {
        const auto it = values.find(option);
        const bool file = it != values.end() && it->second == Values::kFiles;
        if (file || any_bytes.count(option) > 0) continue;
        for (const std::string& value : option->results()) {
          if (IsUtf8(value)) continue;
          return absl::StrCat(option->get_name(option->get_positional()), ": \"",
                              EscapeControls(value), "\" is not UTF-8");
        }
      }
    }
    return "";
  }

  // Returns the help that `help WORDS…` asks for.
  //   a usage error  no such command
  absl::StatusOr<std::string> HelpFor(const std::vector<std::string>& words) const {
    const CLI::App* node = &app;
    for (const std::string& word : words) {
      const CLI::App* child = FindChild(node, word);
      if (child == nullptr) {
        return UsageError(
            absl::StrCat(UnknownCommand(node, word), "\nTry `", PathOf(node), " --help`."));
      }
      node = child;
    }
    return app.get_formatter()->make_help(node, PathOf(node), CLI::AppFormatMode::Normal);
  }

  void SetFooter(CLI::App* node) {
    const std::string more =
        node->get_parent() == nullptr
            ? "Results go to stdout, everything else to stderr.\n"
              "Exit code: 0 done, 2 usage error, otherwise 64 + the gRPC status code.\n"
            : "Options of every command: wsctl --help\n";
    const auto text = details.find(node);
    node->footer(absl::StrCat(text == details.end() ? "" : absl::StrCat(text->second, "\n\n"), more,
                              "\nExample:\n  ", examples[node], "\n"));
  }
};

// ------------------------------------------------------------------------------------- Command

Command Command::AddGroup(const std::string& name, const std::string& summary,
                          const std::string& example) {
  CLI::App* app = app_->add_subcommand(name, summary);
  app->fallthrough();
  app->require_subcommand(0, 1);
  tree_->state_->examples[app] = example;
  tree_->state_->SetFooter(app);
  return Command(tree_, app);
}

Command Command::AddCommand(const std::string& name, const std::string& summary,
                            const std::string& example, Run run) {
  CLI::App* app = app_->add_subcommand(name, summary);
  app->fallthrough();  // global flags may also follow the command
  tree_->state_->runs[app] = std::move(run);
  tree_->state_->examples[app] = example;
  tree_->state_->SetFooter(app);
  if (app_->get_parent() != nullptr && app == DefaultOf(app_)) {
    Details(absl::StrCat("Without a command, `", name, "` is meant."));
  }
  return Command(tree_, app);
}

void Command::AddHelpCommand() {
  CommandTree::State& state = *tree_->state_;
  Command command = AddCommand("help", "Print the help of a command", "wsctl help workers drain",
                               [&state](Invocation& run) -> absl::Status {
                                 absl::StatusOr<std::string> text = state.HelpFor(state.help_words);
                                 if (!text.ok()) return text.status();
                                 run.out().Raw(*text);
                                 return absl::OkStatus();
                               });
  command.Arguments("COMMAND", &state.help_words, "The words of the command; default wsctl itself");
  state.help = command.app_;
}

Command& Command::Hidden() {
  app_->group("");
  return *this;
}

Command& Command::Details(const std::string& text) {
  tree_->state_->details[app_] = text;
  tree_->state_->SetFooter(app_);
  return *this;
}

Command& Command::Argument(const std::string& name, std::string* target, const std::string& help,
                           Values values) {
  CLI::Option* option = app_->add_option(name, *target, help)->required()->type_name("");
  tree_->state_->values[option] = values;
  return *this;
}

Command& Command::OptionalArgument(const std::string& name, std::string* target,
                                   const std::string& help, Values values) {
  CLI::Option* option = app_->add_option(name, *target, help)->type_name("");
  tree_->state_->values[option] = values;
  return *this;
}

Command& Command::Arguments(const std::string& name, std::vector<std::string>* target,
                            const std::string& help, Values values) {
  CLI::Option* option = app_->add_option(name, *target, help)->type_name("");
  tree_->state_->values[option] = values;
  return *this;
}

Command& Command::Flag(const std::string& name, bool* target, const std::string& help) {
  app_->add_flag(name, *target, help);
  return *this;
}

Command& Command::Text(const std::string& name, const std::string& placeholder, std::string* target,
                       const std::string& help, Values values) {
  CLI::Option* option = app_->add_option(name, *target, help)->type_name(placeholder);
  tree_->state_->values[option] = values;
  return *this;
}

Command& Command::Texts(const std::string& name, const std::string& placeholder,
                        std::vector<std::string>* target, const std::string& help) {
  app_->add_option(name, *target, help)
      ->type_name(placeholder)
      ->allow_extra_args(false)
      ->take_all();
  return *this;
}

Command& Command::Number(const std::string& name, uint32_t* target, uint32_t min, uint32_t max,
                         const std::string& help) {
  const auto check = [min, max](const std::string& text) { return CheckNumber(text, min, max); };
  app_->add_option(name, *target, help)->check(check)->type_name("N");
  return *this;
}

Command& Command::Duration(const std::string& name, std::optional<absl::Duration>* target,
                           const std::string& help, absl::Duration min) {
  app_->add_option_function<std::string>(
          name,
          [name, target, min](const std::string& text) {
            const absl::StatusOr<absl::Duration> duration = ParseDuration(text);
            if (!duration.ok()) {
              throw CLI::ValidationError(name, std::string(duration.status().message()));
            }
            if (*duration < min) {
              throw CLI::ValidationError(
                  name, absl::StrCat("\"", EscapeControls(text), "\" is less than ",
                                     absl::FormatDuration(min)));
            }
            *target = *duration;
          },
          help)
      ->type_name("DURATION");
  return *this;
}

Command& Command::TableFlags() {
  const CommandTree::State& state = *tree_->state_;
  return Flag("--wide", state.wide, "Show all columns, and cut nothing to fit the terminal")
      .Text("--columns", "NAME,NAME", state.columns, "Show only these columns, in this order");
}

Command& Command::AnyBytes(const std::string& name) {
  tree_->state_->any_bytes.insert(app_->get_option(name));
  return *this;
}

Command& Command::AddChoice(const std::string& name, std::vector<std::string> names,
                            const std::string& help, std::function<void(const std::string&)> set) {
  const std::string shown = name.substr(name.find("--"));  // "-o,--output": --output
  CLI::Option* option =
      app_->add_option_function<std::string>(
              name,
              [shown, names, set = std::move(set)](const std::string& chosen) {
                if (std::find(names.begin(), names.end(), chosen) == names.end()) {
                  throw CLI::ValidationError(
                      shown, absl::StrCat("\"", EscapeControls(chosen), "\" is not one of ",
                                          absl::StrJoin(names, ", ")));
                }
                set(chosen);
              },
              help)
          ->type_name(absl::StrJoin(names, "|"));
  tree_->state_->choices[option] = std::move(names);
  return *this;
}

// --------------------------------------------------------------------------------- CommandTree

CommandTree::CommandTree(const std::string& summary, const std::string& name)
    : state_(std::make_unique<State>(summary, name)) {
  CLI::App& app = state_->app;
  app.set_help_flag("-h,--help", "Print this help");
  app.set_version_flag("--version", absl::StrCat(name, " ", kVersion), "Print wsctl's own version");
  app.formatter(std::make_shared<HelpFormatter>());
  app.require_subcommand(0, 1);
  app.option_defaults()->always_capture_default(false);
  state_->examples[&app] = "wsctl publish mahavishnu workflow:wf_1 workflow.started '{\"n\": 1}'";
  state_->SetFooter(&app);
}

CommandTree::~CommandTree() = default;

Command CommandTree::root() { return Command(this, &state_->app); }

void CommandTree::SetTableTargets(bool* wide, std::string* columns) {
  state_->wide = wide;
  state_->columns = columns;
}

CommandTree::Parsed CommandTree::Parse(const std::vector<std::string>& arguments) {
  CLI::App& app = state_->app;
  std::vector<std::string> reversed = WithDefault(app, arguments);
  std::reverse(reversed.begin(), reversed.end());
  std::string problem;
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    return {.kind = Parsed::Kind::kHelp, .text = app.help()};
  } catch (const CLI::CallForVersion& version) {
    return {.kind = Parsed::Kind::kHelp, .text = absl::StrCat(version.what(), "\n")};
  } catch (const CLI::ExtrasError&) {
    const CLI::App* inner = Innermost(&app);
    const std::vector<std::string> extras = app.remaining(/*recurse=*/true);
    const std::string word = FirstWord(inner, extras);
    if (!word.empty() && !Children(inner).empty()) {
      problem = UnknownCommand(inner, word);
    } else {
      problem = absl::StrCat("unexpected argument: ", EscapeControls(absl::StrJoin(extras, " ")));
      // The name of a service is a positional argument of other commands.
      if (word == absl::StrJoin(extras, " ") && FindOption(inner, "--service") != nullptr) {
        absl::StrAppend(&problem, "; did you mean --service ", word, "?");
      }
    }
  } catch (const CLI::ParseError& error) {
    problem = ArgumentProblem(error);
  }
  const CLI::App* inner = Innermost(&app);
  if (problem.empty()) problem = state_->BadBytes(inner);
  const auto run = state_->runs.find(inner);
  if (problem.empty() && run != state_->runs.end()) {
    return {.kind = Parsed::Kind::kRun, .text = "", .run = &run->second};
  }
  if (problem.empty()) return {.kind = Parsed::Kind::kUsageError, .text = app.help()};
  return {.kind = Parsed::Kind::kUsageError,
          .text = absl::StrCat("wsctl: ", EscapeControls(problem), "\nTry `", PathOf(inner),
                               " --help`.\n")};
}

std::vector<std::string> CommandTree::Complete(
    const std::vector<std::string>& words,
    const std::function<std::vector<std::string>(Values)>& values) const {
  if (words.empty()) return {};
  const std::string& cut = words.back();
  const CLI::App* app = &state_->app;
  const CLI::Option* pending = nullptr;  // a flag that waits for its value
  std::vector<const CLI::Option*> positionals;
  size_t given = 0;                       // number of positional words of `app` so far
  const CLI::App* helped = &state_->app;  // the command that `help` was given so far

  const auto enter = [&](const CLI::App* node) {
    app = node;
    given = 0;
    positionals.clear();
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_positional()) positionals.push_back(option);
    }
  };
  // A group is completed with the flags of its default command, too.
  const auto option_named = [&](const std::string& name) {
    const CLI::App* child = DefaultOf(app);
    return FindOption(child != nullptr ? child : app, name);
  };
  enter(app);
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (pending != nullptr) {
      pending = nullptr;
    } else if (word.size() > 1 && word[0] == '-') {
      const CLI::Option* option = option_named(word);
      if (TakesValue(option)) pending = option;
    } else if (app == state_->help) {
      helped = FindChild(helped, word) == nullptr ? helped : FindChild(helped, word);
    } else if (const CLI::App* child = FindChild(app, word); child != nullptr) {
      enter(child);
    } else {
      ++given;
    }
  }

  std::set<std::string> found;
  const auto offer = [&](const std::string& word) {
    if (absl::StartsWith(word, cut)) found.insert(word);
  };
  const auto offer_values = [&](const CLI::Option* option, const std::string& before) {
    if (const auto it = state_->choices.find(option); it != state_->choices.end()) {
      for (const std::string& choice : it->second) offer(absl::StrCat(before, choice));
    } else if (const auto it = state_->values.find(option);
               it != state_->values.end() && it->second == Values::kFiles) {
      if (before.empty()) found.insert(":files");
    } else if (it != state_->values.end() && it->second != Values::kNone) {
      for (const std::string& value : values(it->second)) offer(absl::StrCat(before, value));
    }
  };
  const size_t equals = absl::StartsWith(cut, "--") ? cut.find('=') : std::string::npos;
  if (pending != nullptr) {
    offer_values(pending, "");
  } else if (equals != std::string::npos) {
    offer_values(option_named(cut.substr(0, equals)), cut.substr(0, equals + 1));
  } else if (absl::StartsWith(cut, "-")) {
    const CLI::App* innermost = DefaultOf(app) != nullptr ? DefaultOf(app) : app;
    for (const CLI::App* node = innermost; node != nullptr; node = node->get_parent()) {
      for (const CLI::Option* option : node->get_options()) {
        for (const std::string& name : option->get_lnames()) offer(absl::StrCat("--", name));
      }
    }
  } else {
    for (const CLI::App* child : Children(app == state_->help ? helped : app)) {
      if (IsVisible(child)) offer(child->get_name());
    }
    if (!positionals.empty()) {
      const CLI::Option* last = positionals.back();
      if (given < positionals.size()) {
        offer_values(positionals[given], "");
      } else if (last->get_expected_max() > 1) {
        offer_values(last, "");
      }
    }
  }
  return {found.begin(), found.end()};
}

std::vector<std::string> CommandTree::Examples() const {
  std::vector<std::string> examples;
  for (const auto& [app, example] : state_->examples) examples.push_back(example);
  return examples;
}

std::vector<std::vector<std::string>> CommandTree::Paths() const {
  std::vector<std::vector<std::string>> paths;
  for (const auto& [app, example] : state_->examples) {
    std::vector<std::string> path = absl::StrSplit(PathOf(app), ' ');
    path.erase(path.begin());
    paths.push_back(std::move(path));
  }
  return paths;
}

}  // namespace fanwire::cli
