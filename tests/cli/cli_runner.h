// CliRunner runs wsctl in the test's process: it takes the arguments and returns the exit code,
// stdout and stderr.
#pragma once

#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "cli/app.h"
#include "common/clock.h"
#include "tests/cli/fake_admin_client.h"
#include "tests/cli/fake_publish_client.h"

namespace fanwire::cli {

class StringSink : public Sink {
 public:
  absl::Status Write(absl::string_view bytes) override {
    if (!failure.ok()) return failure;
    text.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  int fd() const override { return descriptor; }
  std::string text;
  absl::Status failure;  // the status that every write returns
  int descriptor = -1;   // what fd() returns
};

// A clock that always shows 2026-02-10T12:00:00Z.
class FixedClock : public Clock {
 public:
  absl::Duration Now() const override { return absl::ZeroDuration(); }
  absl::Time WallNow() const override {
    return absl::FromCivil(absl::CivilSecond(2026, 2, 10, 12, 0, 0), absl::UTCTimeZone());
  }
};

// The client that a run owns: a copy of the runner's fake, which is copied back at the end.
template <typename Fake>
class Lent : public Fake {
 public:
  explicit Lent(Fake* home) : Fake(*home), home_(home) {}
  ~Lent() override { *home_ = static_cast<const Fake&>(*this); }

 private:
  Fake* const home_;
};

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

class CliRunner {
 public:
  CliRunner() {
    world_.results = &results;
    world_.notes = &notes_;
    world_.environment = [this](const std::string& name) -> const char* {
      const auto found = environment.find(name);
      return found == environment.end() ? nullptr : found->second.c_str();
    };
    world_.clock = &clock_;
    world_.check_config = [this](absl::string_view, absl::string_view) { return verdict_here; };
    world_.read_catalog = [this](const std::string& config_file) {
      catalog_asked = config_file;
      return catalog_here;
    };
    world_.connect = [this](const ServerTarget& target, const GlobalOptions& options) {
      server = target;
      timeout = options.timeout;
      return Connect(target, options);
    };
  }

  Outcome Run(const std::vector<std::string>& arguments) {
    results.text.clear();
    notes_.text.clear();
    world_.results_terminal = terminal;
    world_.notes_terminal = terminal;
    world_.width = width;
    world_.stdin_fd = stdin_fd;
    const int code = RunApp(arguments, world_);
    return {code, results.text, notes_.text};
  }

  // Runs with `text` as standard input.  `text` must fit into a pipe's buffer.
  Outcome RunWithInput(const std::vector<std::string>& arguments, const std::string& text) {
    int ends[2];
    if (pipe(ends) != 0) return {-1, "", "no pipe"};
    const ssize_t written = write(ends[1], text.data(), text.size());
    close(ends[1]);
    stdin_fd = ends[0];
    Outcome outcome = written == static_cast<ssize_t>(text.size())
                          ? Run(arguments)
                          : Outcome{-1, "", "input too long"};
    close(ends[0]);
    stdin_fd = -1;
    return outcome;
  }

  // Makes the run connect to a real control over gRPC, not to the fakes.
  void UseGrpc() { grpc_ = true; }

  absl::StatusOr<ConfigVerdict> verdict_here = absl::UnavailableError("no program here");
  absl::StatusOr<std::vector<ServiceCatalog>> catalog_here =
      absl::UnavailableError("no program here");
  std::string catalog_asked;
  FakeAdminClient admin;
  FakePublishClient publisher;

  bool terminal = false;
  int width = 0;
  int stdin_fd = -1;
  std::map<std::string, std::string> environment = {{"HOME", "/nonexistent"},
                                                    {"XDG_RUNTIME_DIR", "/nonexistent"}};
  StringSink results;
  // The target and options of the last run that connected.
  ServerTarget server;
  std::optional<absl::Duration> timeout;

 private:
  absl::StatusOr<Clients> Connect(const ServerTarget& target, const GlobalOptions& options) {
    if (grpc_) return ConnectOverGrpc(target, options);
    return Clients{.admin = std::make_unique<Lent<FakeAdminClient>>(&admin),
                   .publish = std::make_unique<Lent<FakePublishClient>>(&publisher)};
  }

  StringSink notes_;
  FixedClock clock_;
  World world_;
  bool grpc_ = false;
};

}  // namespace fanwire::cli
