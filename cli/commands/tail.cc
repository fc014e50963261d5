#include "cli/commands/tail.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "cli/commands/all.h"
#include "cli/commands/publication_text.h"
#include "cli/interrupt.h"
#include "cli/invocation.h"
#include "cli/json.h"
#include "cli/reader_watch.h"

namespace fanwire::cli {

absl::Status RunTail(const TailRequest& options, AdminClient& admin, Output& out) {
  // Ctrl-C is the normal end of a tail, not a failure.
  const InterruptScope interrupt([&admin] { admin.Cancel(); });
  // `wsctl tail … | head` ends when head does, not only when the next publication is printed.
  const ReaderWatch reader(out.results_fd(), [&admin] { admin.Cancel(); });
  const absl::Status status = admin.Tail(options, [&](const TailUpdate& update) {
    std::string text;
    for (const Publication& publication : update.publications) {
      absl::StrAppend(&text,
                      out.json() ? out.SafeJson(PublicationLine(publication))
                                 : PublicationText(publication, out),
                      "\n");
    }
    if (!text.empty()) out.Raw(text);
    if (update.left_out > 0) {
      out.Note(absl::StrCat("(", update.left_out, " publications left out: too many for --rate)"));
    }
    return !out.broken();
  });
  return out.broken() ? out.written() : status;
}

void AddTailCommand(Command root) {
  auto options = std::make_shared<TailRequest>();
  options->pattern = "**";
  root.AddCommand("tail", "Show publications as they are accepted, until Ctrl-C",
                  "wsctl tail mahavishnu 'workflow:*' --event workflow.failed --output json",
                  [options](Invocation& run) {
                    return run.WithAdmin(
                        [&](AdminClient& admin) { return RunTail(*options, admin, run.out()); });
                  })
      .Argument("SERVICE", &options->service, "Service whose publications are shown",
                Values::kServices)
      .OptionalArgument("PATTERN", &options->pattern,
                        "Channel or pattern, such as 'workflow:*'; default all")
      .Texts("--event", "NAME", &options->events,
             "Only events of this name; may be given several times")
      .Number("--rate", &options->max_per_second, 1, 1'000'000,
              "Show at most N publications a second; default 1000");
}

}  // namespace fanwire::cli
