#include "cli/commands/ledger.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/commands/all.h"
#include "cli/invocation.h"
#include "cli/json.h"

namespace fanwire::cli {

namespace {

Cell DropsCell(const DropCounts& drops) {
  std::vector<std::string> texts;
  for (const auto& [reason, count] : drops) texts.push_back(absl::StrCat(count, " ", reason));
  return Cell::List(std::move(texts), ", ", DropsText(drops));
}

}  // namespace

absl::Status RunLedger(const std::string& service, AdminClient& admin, Output& out) {
  const absl::StatusOr<std::vector<LedgerEntry>> entries = admin.GetLedger(service);
  if (!entries.ok()) return entries.status();
  if (out.json()) {
    out.Json(ToJsonArray(*entries));
    return absl::OkStatus();
  }
  Table table({{"SERVICE", 0, Cut::kMiddle},
               {"PUBLISHED", 4},
               "MATCHED",
               "WRITTEN",
               {"LOST", 2},
               {"EXPIRED", 5},
               {"QUEUED", 3},
               {"RECOVERED", 6},
               "DIFFERENCE",
               {"DROPPED", 1}});
  table.SetWhenEmpty("no services");
  for (const LedgerEntry& entry : *entries) {
    Cell difference(entry.difference);
    if (entry.difference != 0) difference.tone = Tone::kBad;
    const Cell dropped = entry.dropped.empty() ? Cell(0) : DropsCell(entry.dropped);
    table.Add({entry.service, entry.published, entry.matched, entry.written, entry.lost_connection,
               entry.expired, entry.queued, entry.recovered, difference, dropped});
  }
  out.Print(table);
  return absl::OkStatus();
}

void AddLedgerCommand(Command root) {
  auto service = std::make_shared<std::string>();
  root.AddCommand("ledger", "Count the deliveries of each service by their outcome",
                  "wsctl ledger --service mahavishnu",
                  [service](Invocation& run) {
                    return run.WithAdmin(
                        [&](AdminClient& admin) { return RunLedger(*service, admin, run.out()); });
                  })
      .Details(
          "matched = written + dropped + lost + expired + queued.  DIFFERENCE is matched minus\n"
          "that sum.  A difference that does not go away is a bug.")
      .Text("--service", "NAME", service.get(), "Only this service; default all", Values::kServices)
      .TableFlags();
}

}  // namespace fanwire::cli
