#include "cli/commands/connections.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/all.h"
#include "cli/exit_code.h"
#include "cli/invocation.h"
#include "cli/json.h"
#include "cli/text.h"

namespace fanwire::cli {
namespace {

constexpr size_t kChannelsInTable = 3;

std::string UserText(const ConnectionInfo& connection) {
  return connection.user.empty() ? "-" : connection.user;
}

Cell ChannelsCell(const ConnectionInfo& connection, const Output& out) {
  return Cell::List(connection.channels, " ",
                    out.format() == Format::kPlain
                        ? absl::StrJoin(connection.channels, " ")
                        : JoinSome(connection.channels, kChannelsInTable));
}

void NoteSilentWorkers(int answered, int total, Output& out) {
  if (answered < total) {
    out.Note(absl::StrCat("incomplete: only ", answered, " of ", total, " workers answered"));
  }
}

void AddFilterFlags(Command& command, ConnectionFilter* filter) {
  command
      .Text("--service", "NAME", &filter->service, "Only clients of this service",
            Values::kServices)
      .Text("--user", "USER", &filter->user, "Only clients of this user")
      .Text("--address", "ADDR", &filter->address, "Only clients from this host, or host:port")
      .Text("--channel", "CHANNEL", &filter->channel, "Only subscribers of this channel or pattern")
      .Flag("--slow", &filter->slow, "Only clients with a backlog");
}

}  // namespace

absl::Status RunConnectionsList(const ConnectionQuery& options, AdminClient& admin, Output& out) {
  const absl::StatusOr<ConnectionList> list = admin.ListConnections(options);
  if (!list.ok()) return list.status();
  if (out.json()) {
    out.Json(ToJsonArray(list->connections));
  } else {
    // The column by which the list is sorted or filtered is the last to give way.
    const bool by_backlog = options.filter.slow || options.sort == ConnectionSort::kBacklog;
    const bool by_drops = options.sort == ConnectionSort::kDrops;
    Table table({"ID",
                 {"SERVICE", 2, Cut::kMiddle},
                 {"WORKER", 5, Cut::kMiddle},
                 {"USER", 3, Cut::kMiddle},
                 {"ADDRESS", 0, Cut::kMiddle},
                 {"BACKLOG", by_backlog ? 1 : 6},
                 {"DELIVERED", 9},
                 {"DROPPED", by_drops ? 1 : 8},
                 {"CONNECTED", 7},
                 {"CHANNELS", 4}});
    table.SetWhenEmpty(options.filter.empty() ? "no connections" : "no connections match");
    for (const ConnectionInfo& connection : list->connections) {
      Cell backlog = out.Bytes(connection.backlog_bytes);
      if (connection.backlog_bytes > 0) backlog.tone = Tone::kWarning;
      table.Add({connection.id, connection.service, connection.worker, UserText(connection),
                 connection.address, backlog, connection.delivered, connection.dropped,
                 out.Time(connection.connected_at), ChannelsCell(connection, out)});
    }
    out.Print(table);
  }
  const int64_t shown = static_cast<int64_t>(list->connections.size());
  if (shown < list->total) {
    out.Note(absl::StrCat("showing ", shown, " of ", list->total,
                          " connections; a larger --limit shows more"));
  }
  NoteSilentWorkers(list->workers_answered, list->workers_total, out);
  return absl::OkStatus();
}

absl::Status RunConnectionsShow(const std::string& id, AdminClient& admin, Output& out) {
  const absl::StatusOr<ConnectionInfo> connection = admin.GetConnection(id);
  if (!connection.ok()) return connection.status();
  if (out.json()) {
    out.Json(ToJson(*connection));
    return absl::OkStatus();
  }
  out.Print({{"id", connection->id},
             {"service", connection->service},
             {"worker", connection->worker},
             {"user", UserText(*connection)},
             {"address", connection->address},
             {"user agent", connection->user_agent.empty() ? "-" : connection->user_agent},
             {"dialect", connection->dialect},
             {"connected", out.Time(connection->connected_at)},
             {"backlog", out.Bytes(connection->backlog_bytes)},
             {"backlog frames", connection->backlog_frames},
             {"delivered", connection->delivered},
             {"dropped", connection->dropped},
             {"received", connection->received},
             {"channels", absl::StrCat(connection->channel_count, ": ",
                                       absl::StrJoin(connection->channels, " "))}});
  return absl::OkStatus();
}

absl::Status RunDisconnect(const DisconnectRequest& options, AdminClient& admin, Output& out) {
  if (options.filter.empty()) {
    return UsageError("no filter: give an ID, --service, --user, --address, --channel or --slow");
  }
  const absl::StatusOr<DisconnectResult> result = admin.Disconnect(options);
  if (!result.ok()) return result.status();
  if (out.json()) {
    out.Json({{"disconnected", result->disconnected},
              {"workers_total", result->workers_total},
              {"workers_answered", result->workers_answered}});
  } else {
    out.Print({{"disconnected", result->disconnected}});
  }
  NoteSilentWorkers(result->workers_answered, result->workers_total, out);
  if (options.filter.id.empty() || result->disconnected > 0) return absl::OkStatus();
  if (result->workers_answered < result->workers_total) {
    return absl::UnavailableError(
        absl::StrCat("no connection \"", options.filter.id, "\" in the workers that answered"));
  }
  const bool more = !options.filter.service.empty() || !options.filter.user.empty() ||
                    !options.filter.address.empty() || !options.filter.channel.empty() ||
                    options.filter.slow;
  return absl::NotFoundError(absl::StrCat("no connection \"", options.filter.id, "\"",
                                          more ? " that matches the other filters" : ""));
}

void AddConnectionCommands(Command root) {
  Command connections =
      root.AddGroup("connections", "Connected clients", "wsctl connections list --slow");

  auto list = std::make_shared<ConnectionQuery>();
  Command list_command = connections.AddCommand(
      "list", "List the connections of all workers",
      "wsctl connections list --service mahavishnu --slow --sort backlog", [list](Invocation& run) {
        return run.WithAdmin(
            [&](AdminClient& admin) { return RunConnectionsList(*list, admin, run.out()); });
      });
  AddFilterFlags(list_command, &list->filter);
  list_command
      .Choice<ConnectionSort>("--sort", &list->sort,
                              {{"age", ConnectionSort::kAge},
                               {"backlog", ConnectionSort::kBacklog},
                               {"drops", ConnectionSort::kDrops}},
                              "Sort order; default age, the oldest first")
      .Number("--limit", &list->limit, 1, 1'000'000, "List at most N; default 1000")
      .TableFlags();

  auto id = std::make_shared<std::string>();
  connections
      .AddCommand("show", "Show one connection",
                  "wsctl connections show 1f190019-5b62-4c6e-9d1f-2f6a7b0c1d2e",
                  [id](Invocation& run) {
                    return run.WithAdmin([&](AdminClient& admin) {
                      return RunConnectionsShow(*id, admin, run.out());
                    });
                  })
      .Argument("ID", id.get(), "The connection_id in the client's welcome");

  auto request = std::make_shared<DisconnectRequest>();
  Command disconnect = connections.AddCommand(
      "disconnect", "Close the connections that match all given filters",
      "wsctl connections disconnect --user ana --reason 'maintenance'", [request](Invocation& run) {
        return run.WithAdmin(
            [&](AdminClient& admin) { return RunDisconnect(*request, admin, run.out()); });
      });
  disconnect.OptionalArgument("ID", &request->filter.id,
                              "The connection_id in the client's welcome");
  AddFilterFlags(disconnect, &request->filter);
  disconnect
      .Number("--code", &request->code, 0, 65535,
              "Close code; default 4500, which tells clients not to reconnect")
      .Text("--reason", "TEXT", &request->reason,
            "Close reason, at most 123 bytes; default \"disconnected by operator\"");
}

}  // namespace fanwire::cli
