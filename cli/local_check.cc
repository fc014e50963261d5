#include "cli/local_check.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/from_proto.h"
#include "cli/input.h"
#include "fanwire/v1/admin.pb.h"

namespace fanwire::cli {
namespace {

constexpr absl::string_view kStdin = "/dev/stdin";

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

absl::Status CannotCheck(absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot check on this machine: ", why));
}

// Replaces /dev/stdin in faults by the name of the file that the user gave.
std::vector<std::string> Named(const nlohmann::json& texts, absl::string_view name) {
  std::vector<std::string> out;
  for (const nlohmann::json& text : texts) {
    std::string one = text.get<std::string>();
    if (absl::StartsWith(one, kStdin)) one = absl::StrCat(name, one.substr(kStdin.size()));
    out.push_back(std::move(one));
  }
  return out;
}

// What a program writes to standard output.  `input` is its standard input.
struct ProgramOutput {
  std::string text;
  bool succeeded = false;
};

absl::StatusOr<ProgramOutput> RunProgram(std::vector<std::string> arguments, int input) {
  const std::string program = arguments[0];
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return CannotCheck(strerror(errno));
  Descriptor output(ends[0]), child_output(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (input >= 0) posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, child_output.get(), STDOUT_FILENO);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return CannotCheck(absl::StrCat(program, ": ", strerror(error)));
  child_output.Close();
  const absl::StatusOr<std::string> text = ReadDescriptor(output.get(), program);
  output.Close();
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!text.ok()) return CannotCheck(text.status().message());
  return ProgramOutput{.text = *text, .succeeded = status == 0};
}

}  // namespace

std::string ControlProgram() {
  std::string name = "fanwire-control";
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  if (size <= 0) return name;
  const std::string self(path, static_cast<size_t>(size));
  std::string beside = self.substr(0, self.rfind('/') + 1) + name;
  if (access(beside.c_str(), X_OK) == 0) return beside;
  return name;
}

absl::StatusOr<ConfigVerdict> CheckConfigWith(const std::string& program, absl::string_view yaml,
                                              absl::string_view name) {
  // Pass the text in an anonymous file: a pipe could block both processes if the text is long.
  Descriptor input(memfd_create("config", MFD_CLOEXEC));
  if (input.get() < 0 ||
      write(input.get(), yaml.data(), yaml.size()) != static_cast<ssize_t>(yaml.size()) ||
      lseek(input.get(), 0, SEEK_SET) != 0) {
    return CannotCheck(strerror(errno));
  }
  std::vector<std::string> arguments = {program, "--config", std::string(kStdin), "--check-config",
                                        "--json"};
  // The text lies elsewhere than /dev/stdin.
  const size_t slash = name.rfind('/');
  arguments.push_back("--config-folder");
  arguments.emplace_back(
      slash == absl::string_view::npos ? "." : name.substr(0, std::max<size_t>(slash, 1)));
  const absl::StatusOr<ProgramOutput> output = RunProgram(std::move(arguments), input.get());
  if (!output.ok()) return output.status();
  const auto json = nlohmann::json::parse(output->text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("ok")) {
    return CannotCheck(absl::StrCat(program, " ended without a result"));
  }
  return ConfigVerdict{.ok = json["ok"].get<bool>(),
                       .errors = Named(json["errors"], name),
                       .warnings = Named(json["warnings"], name),
                       .resolved_yaml = json.value("resolved_yaml", "")};
}

absl::StatusOr<std::vector<ServiceCatalog>> ReadCatalogWith(const std::string& program,
                                                            const std::string& config_file) {
  const absl::StatusOr<ProgramOutput> output =
      RunProgram({program, "--config", config_file, "--print-catalog"}, -1);
  if (!output.ok()) return output.status();
  v1::GetCatalogResponse response;
  if (!output->succeeded || !response.ParseFromString(output->text)) {
    // The program has told its faults on stderr.
    return absl::InvalidArgumentError(
        absl::StrCat(config_file, ": ", program, " cannot read its catalogs"));
  }
  std::vector<ServiceCatalog> catalogs;
  for (const v1::ServiceCatalog& catalog : response.services()) {
    catalogs.push_back(FromProto(catalog));
  }
  return catalogs;
}

}  // namespace fanwire::cli
