#include "cli/commands/publish.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/batch.h"
#include "cli/commands/all.h"
#include "cli/exit_code.h"
#include "cli/input.h"
#include "cli/invocation.h"
#include "cli/json.h"
#include "cli/text.h"

namespace fanwire::cli {
namespace {

void PrintReceipt(const Receipt& receipt, Output& out) {
  std::vector<std::pair<std::string, Cell>> fields = {
      {"level", Cell(std::string(LevelName(receipt.level)), Tone::kGood)}, {"id", receipt.id}};
  if (receipt.position.exists()) {
    fields.emplace_back("offset", receipt.position.offset);
    fields.emplace_back("epoch", receipt.position.epoch);
  }
  if (receipt.delivery.has_value()) {
    const Delivery& delivery = *receipt.delivery;
    fields.emplace_back("matched", delivery.matched);
    fields.emplace_back("written", delivery.written);
    fields.emplace_back("dropped", DropsText(delivery.dropped));
    if (delivery.lost_connection > 0) {
      fields.emplace_back("lost connection", delivery.lost_connection);
    }
    if (delivery.expired > 0) fields.emplace_back("expired", delivery.expired);
    fields.emplace_back("workers", absl::StrCat(delivery.workers_reported, " of ",
                                                delivery.workers_total, " reported"));
  }
  if (receipt.duplicate) fields.emplace_back("duplicate", "yes: this event was published before");
  if (receipt.timed_out) {
    fields.emplace_back("timed out", Cell("yes: the counts are not final", Tone::kWarning));
  }
  out.Print(fields);
}

absl::Status RunBatchFile(const PublishOptions& options, int stdin_fd, PublishClient& client,
                          Output& out) {
  BatchOptions batch{.receipt = options.receipt};
  if (options.batch == "-") {
    absl::Status open = CheckStandardInput(stdin_fd);
    return open.ok() ? RunBatch(batch, stdin_fd, client, out) : open;
  }
  const int fd = open(options.batch.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return absl::NotFoundError(
        absl::StrCat("cannot read \"", options.batch, "\": ", std::strerror(errno)));
  }
  absl::Status status = RunBatch(batch, fd, client, out);
  close(fd);
  return status;
}

constexpr absl::string_view kBatchAlone =
    "--batch reads whole events from its lines: give no arguments or options of one event with it";

absl::Status CheckUsage(const PublishOptions& options) {
  const Event& event = options.event;
  const bool single = !event.service.empty() || !event.channel.empty() || !options.data.empty() ||
                      !event.id.empty() || !event.idempotency_key.empty() ||
                      event.ttl.has_value() || event.skip_history;
  if (!options.batch.empty()) {
    if (!single) return absl::OkStatus();
    return UsageError(kBatchAlone);
  }
  if (event.service.empty() || event.channel.empty()) {
    return UsageError(
        "give SERVICE, CHANNEL and EVENT, or --batch FILE\n"
        "Try `wsctl publish --help`.");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunPublish(const PublishOptions& options, int stdin_fd, PublishClient& client,
                        Output& out) {
  if (!options.batch.empty()) return RunBatchFile(options, stdin_fd, client, out);
  absl::StatusOr<std::string> data = ReadArgument(options.data, stdin_fd);
  if (!data.ok()) return data.status();
  const bool is_file = absl::StartsWith(options.data, "@");
  absl::Status utf8 = CheckUtf8(*data, is_file               ? options.data.substr(1)
                                       : options.data == "-" ? "standard input"
                                                             : "JSON");
  if (!utf8.ok()) return utf8;
  Event event = options.event;
  event.json = *std::move(data);
  const absl::StatusOr<Receipt> receipt = client.Publish(event, options.receipt);
  if (!receipt.ok()) return receipt.status();
  if (!receipt->status.ok()) return receipt->status;
  if (out.json()) {
    out.Json(ToJson(*receipt));
  } else {
    PrintReceipt(*receipt, out);
  }
  return absl::OkStatus();
}

void AddPublishCommand(Command root) {
  auto options = std::make_shared<PublishOptions>();
  // Tell a missing EVENT, which is a usage error, from an empty one, which control refuses.
  auto event_given = std::make_shared<std::string>(1, '\0');
  Command publish = root.AddCommand(
      "publish", "Publish one event, or with --batch a stream of events",
      "wsctl publish mahavishnu workflow:wf_1 workflow.started '{\"workflow_id\": \"wf_1\"}' "
      "--receipt written",
      [options, event_given](Invocation& run) -> absl::Status {
        const bool has_event = *event_given != std::string(1, '\0');
        absl::Status status = CheckUsage(*options);
        if (status.ok() && options->batch.empty() != has_event) {
          status =
              UsageError(has_event ? kBatchAlone : "EVENT is missing\nTry `wsctl publish --help`.");
        }
        if (!status.ok()) return status;
        if (has_event) options->event.event = *event_given;
        return run.WithPublisher([&](PublishClient& client) {
          return RunPublish(*options, run.stdin_fd(), client, run.out());
        });
      });
  publish
      .Details(
          "With --batch, reads one event a line and prints one receipt a line, in the same order:\n"
          "  {\"service\": …, \"channel\": …, \"event\": …, \"data\": {…}, \"id\": …,\n"
          "   \"idempotency_key\": …, \"ttl\": \"30s\", \"skip_history\": false}\n"
          "The receipt of a refused line is {\"status\": {\"code\", \"message\"}, \"line\": N}; "
          "all\n"
          "others are published, and the exit code is 67.")
      .OptionalArgument("SERVICE", &options->event.service, "Service that the channel belongs to",
                        Values::kServices)
      .OptionalArgument("CHANNEL", &options->event.channel,
                        "Name of the channel, such as workflow:wf_1")
      .OptionalArgument("EVENT", event_given.get(), "Name of the event, such as workflow.started")
      .OptionalArgument("JSON", &options->data,
                        "Data, a JSON object; @FILE reads a file, - standard input; default {}")
      .Text("--batch", "FILE", &options->batch, "Publish the events in FILE; - for standard input",
            Values::kFiles)
      .Choice<ReceiptLevel>("--receipt", &options->receipt.level,
                            {{"accepted", ReceiptLevel::kAccepted},
                             {"routed", ReceiptLevel::kRouted},
                             {"written", ReceiptLevel::kWritten}},
                            "What the receipt waits for; default accepted")
      .Duration("--wait", &options->receipt.wait, "Longest wait for a written receipt; default 5s")
      .Text("--id", "ID", &options->event.id, "The event's id; default a UUID")
      .Text("--idempotency-key", "KEY", &options->event.idempotency_key,
            "Publish nothing if an event with this key was published before")
      .AnyBytes("JSON")
      .Duration("--ttl", &options->event.ttl, "Do not deliver the event after this time")
      .Flag("--skip-history", &options->event.skip_history,
            "Deliver the event, but do not keep it in history");
}

}  // namespace fanwire::cli
