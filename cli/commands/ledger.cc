#include "cli/commands/ledger.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands/all.h"
#include "cli/invocation.h"
#include "cli/json.h"

namespace fanwire::cli {

absl::Status RunLedger(const std::string& service, AdminClient& admin, Output& out) {
  const absl::StatusOr<std::vector<LedgerEntry>> entries = admin.GetLedger(service);
  if (!entries.ok()) return entries.status();
  if (out.json()) {
    out.Json(ToJsonArray(*entries));
    return absl::OkStatus();
  }
  Table table({"SERVICE", "PUBLISHED", "MATCHED", "WRITTEN", "LOST", "EXPIRED", "QUEUED",
               "RECOVERED", "DIFFERENCE", "DROPPED"});
  for (const LedgerEntry& entry : *entries) {
    Cell difference(entry.difference);
    if (entry.difference != 0) difference.tone = Tone::kBad;
    Cell dropped = entry.dropped.empty() ? Cell(0) : Cell(DropsText(entry.dropped));
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
      .Text("--service", "NAME", service.get(), "Only this service; default all",
            Values::kServices);
}

}  // namespace fanwire::cli
