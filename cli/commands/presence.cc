#include "cli/commands/presence.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/commands/all.h"
#include "cli/invocation.h"
#include "cli/json.h"

namespace fanwire::cli {

absl::Status RunPresence(const PresenceQuery& query, AdminClient& admin, Output& out) {
  const absl::StatusOr<PresenceList> list = admin.ListPresence(query);
  if (!list.ok()) return list.status();
  if (out.json()) {
    out.Json({{"channel", query.channel},
              {"members", ToJsonArray(list->members)},
              {"total", list->total},
              {"users", list->users}});
  } else {
    Table table({{"USER", 0, Cut::kMiddle},
                 {"CONNECTION", 1, Cut::kMiddle},
                 {"WORKER", 2},
                 {"STATE", 3},
                 {"INFO", 0, Cut::kEnd}});
    table.SetWhenEmpty("nobody is on this channel");
    for (const PresenceMember& member : list->members) {
      table.Add({member.user.empty() ? "-" : member.user, member.connection, member.worker,
                 member.away ? "away" : "present", member.info});
    }
    out.Print(table);
  }
  const auto shown = static_cast<int64_t>(list->members.size());
  if (query.limit != 0 && shown < list->total) {
    out.Note(
        absl::StrCat("showing ", shown, " of ", list->total, " connections; --limit 0 shows all"));
  }
  return absl::OkStatus();
}

void AddPresenceCommand(Command root) {
  auto query = std::make_shared<PresenceQuery>();
  root.AddCommand("presence", "List who is on a channel", "wsctl presence excalidraw diagram:d1",
                  [query](Invocation& run) {
                    return run.WithAdmin(
                        [&](AdminClient& admin) { return RunPresence(*query, admin, run.out()); });
                  })
      .Details(
          "Lists the connections that subscribe to the channel by its name, by user.  The "
          "service's\n"
          "configuration says of which channels members are tracked (presence).  A connection is\n"
          "away when its worker is gone: its client has some time to connect to another worker.")
      .Argument("SERVICE", &query->service, "Service of the channel", Values::kServices)
      .Argument("CHANNEL", &query->channel, "Name of the channel")
      .Number("--limit", &query->limit, 0, 100'000'000, "List at most N; 0 lists all; default 1000")
      .TableFlags();
}

}  // namespace fanwire::cli
