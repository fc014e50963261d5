#include "cli/commands/completion.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "cli/commands/all.h"
#include "cli/context_file.h"
#include "cli/exit_code.h"
#include "common/terminal_text.h"

namespace fanwire::cli {
namespace {

constexpr char kBash[] = R"(# Completion of wsctl for bash.
_wsctl() {
  local line cut i before= rest=$COMP_LINE breaks=${COMP_WORDBREAKS//[^=:]}
  local -a words=()
  COMPREPLY=()
  # bash cuts words at = and : too; what has no white space between belongs together.
  for ((i = 0; i <= COMP_CWORD; ++i)); do
    if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
      rest=${rest#"${rest%%[![:space:]]*}"}
      words+=("${COMP_WORDS[i]}")
    else
      words[${#words[@]}-1]+=${COMP_WORDS[i]}
    fi
    rest=${rest#"${COMP_WORDS[i]}"}
  done
  cut=${words[${#words[@]}-1]}
  # It replaces only what stands behind the last of these.
  [[ -n $breaks && $cut == *["$breaks"]* ]] && before=${cut%"${cut##*["$breaks"]}"}
  while IFS= read -r line; do
    if [[ $line == ":files" ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("${line#"$before"}"); done < <(compgen -f -- "$cut")
    else
      COMPREPLY+=("${line#"$before"}")
    fi
  done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _wsctl wsctl
)";

constexpr char kZsh[] = R"(#compdef wsctl
# Completion of wsctl for zsh.
_wsctl() {
  local line
  local -a found
  for line in "${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == ":files" ]]; then
      _files
    elif [[ -n $line ]]; then
      found+=("$line")
    fi
  done
  (( ${#found} )) && compadd -- "${found[@]}"
}
if [[ ${funcstack[1]} == _wsctl ]]; then
  _wsctl "$@"
else
  compdef _wsctl wsctl
fi
)";

constexpr char kFish[] = R"(# Completion of wsctl for fish.
function __wsctl_complete
    set -l words (commandline -opc)
    set -l cut (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    for line in ($program __complete -- $words "$cut" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$cut"
        else
            echo $line
        end
    end
end
complete -c wsctl -f -a '(__wsctl_complete)'
)";

std::vector<std::string> AskFor(Values values, Invocation& run) {
  if (values == Values::kShells) return {"bash", "fish", "zsh"};
  if (values == Values::kLogLevels) return {"debug", "error", "info", "warning"};
  std::vector<std::string> names;
  if (values == Values::kContexts) {
    const absl::StatusOr<Contexts> contexts = ReadContexts(run.environment());
    if (!contexts.ok()) return {};
    for (const NamedServer& server : contexts->servers) names.push_back(server.name);
    return names;
  }
  const absl::Status status = run.WithAdmin([&](AdminClient& admin) {
    if (values == Values::kServices) {
      const auto services = admin.ListServices();
      if (!services.ok()) return services.status();
      for (const ServiceInfo& service : *services) names.push_back(service.name);
    } else {
      const auto workers = admin.ListWorkers();
      if (!workers.ok()) return workers.status();
      for (const WorkerInfo& worker : workers->workers) names.push_back(worker.id);
    }
    return absl::OkStatus();
  });
  if (!status.ok()) run.out().Verbose(status.message());
  return names;
}

}  // namespace

absl::StatusOr<std::string> CompletionScript(absl::string_view shell) {
  if (shell == "bash") return std::string(kBash);
  if (shell == "zsh") return std::string(kZsh);
  if (shell == "fish") return std::string(kFish);
  return UsageError(absl::StrCat("unknown shell \"", shell, "\"; known are bash, zsh and fish"));
}

absl::Status RunComplete(const std::vector<std::string>& words, const CommandTree& tree,
                         Invocation& run) {
  std::string text;
  for (const std::string& word :
       tree.Complete(words, [&](Values values) { return AskFor(values, run); })) {
    // The shell prints the words as they are.
    if (EscapeControls(word) == word) absl::StrAppend(&text, word, "\n");
  }
  run.out().Raw(text);
  return absl::OkStatus();
}

void AddCompletionCommand(Command root) {
  auto shell = std::make_shared<std::string>();
  root.AddCommand("completion", "Print a shell's completion script",
                  "wsctl completion bash > ~/.local/share/bash-completion/completions/wsctl",
                  [shell](Invocation& run) -> absl::Status {
                    const absl::StatusOr<std::string> script = CompletionScript(*shell);
                    if (!script.ok()) return script.status();
                    run.out().Raw(*script);
                    return absl::OkStatus();
                  })
      .Argument("SHELL", shell.get(), "bash, zsh or fish", Values::kShells);
}

}  // namespace fanwire::cli
