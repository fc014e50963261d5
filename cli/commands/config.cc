#include "cli/commands/config.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cli/commands/all.h"
#include "cli/input.h"
#include "cli/invocation.h"
#include "cli/json.h"
#include "cli/text.h"
#include "common/utf8.h"
#include "common/yaml_check.h"

namespace fanwire::cli {
namespace {

absl::StatusOr<std::string> ReadConfig(const std::string& file, int stdin_fd) {
  return file == "-" ? ReadStandardInput(stdin_fd) : ReadFile(file);
}

// Control's verdict.  gRPC cannot send a text that is not UTF-8, which is refused here.
absl::StatusOr<ConfigVerdict> Check(const std::string& text, const std::string& name,
                                    AdminClient& admin) {
  std::string fault = ConfigTextFault(text, name);
  if (fault.empty()) return admin.CheckConfig(text, name);
  return ConfigVerdict{.ok = false, .errors = {std::move(fault)}};
}

}  // namespace

absl::Status RunConfigCheck(const ConfigCheckOptions& options, int stdin_fd, AdminClient& admin,
                            const LocalCheck& here, Output& out) {
  const absl::StatusOr<std::string> text = ReadConfig(options.file, stdin_fd);
  if (!text.ok()) return text.status();
  std::string name = options.file == "-" ? "stdin" : options.file;
  if (!TextFault(name).empty()) name = EscapeControls(name);
  absl::StatusOr<ConfigVerdict> verdict = Check(*text, name, admin);
  if (absl::IsUnavailable(verdict.status())) {
    const std::string away(verdict.status().message());
    verdict = here(*text, name);
    if (absl::IsUnavailable(verdict.status())) {
      return absl::UnavailableError(absl::StrCat(away, "\n", verdict.status().message()));
    }
    out.Note(
        "control is not reachable; checked on this machine, with this environment's variables");
  }
  if (!verdict.ok()) return verdict.status();
  if (out.json()) {
    nlohmann::ordered_json object = {
        {"ok", verdict->ok}, {"errors", verdict->errors}, {"warnings", verdict->warnings}};
    if (options.resolved) object["resolved_yaml"] = verdict->resolved_yaml;
    out.Json(object);
  } else {
    for (const std::string& error : verdict->errors) out.Line(error);
    for (const std::string& warning : verdict->warnings) {
      out.Line(absl::StrCat("warning: ", warning));
    }
    if (verdict->ok && options.resolved) {
      out.Text(verdict->resolved_yaml);
    } else if (verdict->ok) {
      out.Line(absl::StrCat(name, ": fine"));
    }
  }
  if (verdict->ok) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, ": ", verdict->errors.size(), verdict->errors.size() == 1 ? " fault" : " faults"));
}

absl::Status RunConfigShow(AdminClient& admin, Output& out) {
  const absl::StatusOr<ConfigText> config = admin.GetConfig();
  if (!config.ok()) return config.status();
  if (out.json()) {
    out.Json({{"file", config->file}, {"version", config->version}, {"yaml", config->yaml}});
    return absl::OkStatus();
  }
  if (out.terminal()) out.Note(absl::StrCat("# ", config->file, ", version ", config->version));
  out.Text(absl::StrCat(absl::StripSuffix(config->yaml, "\n"), "\n"));
  return absl::OkStatus();
}

absl::Status RunConfigReload(AdminClient& admin, Output& out) {
  const absl::StatusOr<ReloadResult> result = admin.ReloadConfig();
  if (!result.ok()) return result.status();
  std::string refused;
  for (const WorkerConfigState& worker : result->workers) {
    if (!worker.error.empty()) {
      absl::StrAppend(&refused, refused.empty() ? "" : "\n", worker.id, ": ", worker.error);
    }
  }
  if (out.json()) {
    out.Json(ToJson(*result));
  } else {
    Table table({"WHAT", {"KEY OR WORKER", 0, Cut::kMiddle}});
    for (const std::string& path : result->applied) table.Add({Cell("applied", Tone::kGood), path});
    for (const std::string& path : result->needs_restart) {
      table.Add({Cell("needs restart", Tone::kWarning), path});
    }
    for (const WorkerConfigState& worker : result->workers) {
      if (worker.pending) table.Add({Cell("no answer yet", Tone::kWarning), worker.id});
      if (!worker.error.empty()) table.Add({Cell("refused", Tone::kBad), worker.id});
    }
    if (table.empty()) {
      out.Line(absl::StrCat("nothing changed; version ", result->version));
    } else {
      out.Print(table);
    }
  }
  if (!refused.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("refused by workers, which keep their previous configuration:\n", refused));
  }
  return absl::OkStatus();
}

void AddConfigCommands(Command root) {
  Command config = root.AddGroup("config", "Control's configuration", "wsctl config show");

  auto check = std::make_shared<ConfigCheckOptions>();
  config
      .AddCommand("check", "Check a configuration file without using it",
                  "wsctl config check deploy/config/fanwire.yaml",
                  [check](Invocation& run) {
                    return run.WithAdmin([&](AdminClient& admin) {
                      return RunConfigCheck(*check, run.stdin_fd(), admin, run.check_config(),
                                            run.out());
                    });
                  })
      .Details(
          "Control checks the file with its own environment variables for ${NAME}.  If control\n"
          "cannot be reached, the fanwire-control program of this machine checks the file with\n"
          "the variables of this environment.")
      .Argument("FILE", &check->file, "The file, or - for standard input", Values::kFiles)
      .Flag("--resolved", &check->resolved, "Print the resulting configuration, with defaults");

  config.AddCommand(
      "show", "Show the configuration in force, with secrets as ***", "wsctl config show",
      [](Invocation& run) {
        return run.WithAdmin([&](AdminClient& admin) { return RunConfigShow(admin, run.out()); });
      });

  config.AddCommand(
      "reload", "Read the file again and apply what needs no restart", "wsctl config reload",
      [](Invocation& run) {
        return run.WithAdmin([&](AdminClient& admin) { return RunConfigReload(admin, run.out()); });
      });
}

}  // namespace fanwire::cli
