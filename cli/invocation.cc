#include "cli/invocation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/server_address.h"

namespace fanwire::cli {
namespace {

OutputOptions OptionsFor(const World& world, const GlobalOptions& options) {
  const auto variable = [&](const char* name) -> std::string {
    const char* value = world.environment(name);
    return value == nullptr ? "" : value;
  };
  const bool color = world.results_terminal && !options.no_color && variable("NO_COLOR").empty() &&
                     variable("TERM") != "dumb";
  return {.format = options.format,
          .terminal = world.results_terminal,
          .notes_terminal = world.notes_terminal,
          .color = color && options.format == Format::kTable,
          .verbose = options.verbose,
          .width = world.results_terminal ? world.width : 0,
          .wide = options.wide,
          .columns = options.columns};
}

}  // namespace

Invocation::Invocation(const World* world, const GlobalOptions* options)
    : world_(world),
      options_(options),
      out_(OptionsFor(*world, *options), world->results, world->notes, world->clock) {}

absl::Status Invocation::Connect() {
  if (connected_) return absl::OkStatus();
  const absl::StatusOr<ServerTarget> target = ChooseServer(options_->server, world_->environment);
  if (!target.ok()) return target.status();
  const absl::StatusOr<Address> address = ParseServerAddress(target->address);
  out_.Verbose(absl::StrCat("wsctl: control at ",
                            address.ok() ? address->ToString() : target->address, " (",
                            target->source, ")"));
  absl::StatusOr<Clients> clients = world_->connect(*target, *options_);
  if (!clients.ok()) return clients.status();
  clients_ = *std::move(clients);
  connected_ = true;
  return absl::OkStatus();
}

absl::StatusOr<Clients> Invocation::MakeClients() const {
  absl::StatusOr<ServerTarget> target = ChooseServer(options_->server, world_->environment);
  if (!target.ok()) return target.status();
  target->for_agent = true;
  return world_->connect(*target, *options_);
}

absl::Status Invocation::WithAdmin(const std::function<absl::Status(AdminClient&)>& use) {
  absl::Status status = Connect();
  if (!status.ok()) return status;
  status = use(*clients_.admin);
  for (const std::string& warning : clients_.admin->TakeWarnings()) out_.Note(warning);
  return status;
}

absl::Status Invocation::WithPublisher(const std::function<absl::Status(PublishClient&)>& use) {
  absl::Status status = Connect();
  if (!status.ok()) return status;
  return use(*clients_.publish);
}

}  // namespace fanwire::cli
