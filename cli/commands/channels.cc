#include "cli/commands/channels.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <tuple>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/all.h"
#include "cli/commands/publication_text.h"
#include "cli/exit_code.h"
#include "cli/invocation.h"
#include "cli/json.h"
#include "cli/text.h"

namespace fanwire::cli {

absl::StatusOr<Position> ParsePosition(absl::string_view option, absl::string_view text) {
  const size_t colon = text.rfind(':');
  Position position;
  absl::string_view offset = text;
  if (colon != absl::string_view::npos) {
    position.epoch = std::string(text.substr(0, colon));
    offset = text.substr(colon + 1);
  }
  if (!absl::SimpleAtoi(offset, &position.offset) || position.offset < 0 ||
      (colon != absl::string_view::npos && position.epoch.empty())) {
    return UsageError(
        absl::StrCat(option, ": \"", text, "\" is neither EPOCH:OFFSET nor an offset"));
  }
  return position;
}

absl::Status RunChannelsList(const ChannelListOptions& options, AdminClient& admin, Output& out) {
  const absl::StatusOr<ChannelList> list = admin.ListChannels({.service = options.service,
                                                               .pattern = options.pattern,
                                                               .sort = options.sort,
                                                               .limit = options.limit});
  if (!list.ok()) return list.status();
  if (out.json()) {
    out.Json(ToJsonArray(list->channels));
  } else {
    Table table({{"SERVICE", 0, Cut::kMiddle},
                 "OFFSET",
                 {"PUBLICATIONS", 3},
                 {"HISTORY", 4},
                 {"BYTES", 5},
                 {"WORKERS", 2},
                 {"LAST PUBLISHED", 1},
                 {"CHANNEL", 0, Cut::kMiddle}});
    table.SetWhenEmpty(options.service.empty() && options.pattern.empty() ? "no channels"
                                                                          : "no channels match");
    for (const ChannelInfo& channel : list->channels) {
      table.Add({channel.service, channel.head.offset, channel.publications,
                 channel.history_publications,
                 out.Bytes(static_cast<uint64_t>(channel.history_bytes)), channel.workers,
                 out.Time(channel.last_published), channel.channel});
    }
    out.Print(table);
  }
  const int64_t shown = static_cast<int64_t>(list->channels.size());
  if (options.limit != 0 && shown < list->total) {
    out.Note(
        absl::StrCat("showing ", shown, " of ", list->total, " channels; --limit 0 shows all"));
  }
  return absl::OkStatus();
}

absl::Status RunChannelsShow(const ChannelShowOptions& options, AdminClient& admin, Output& out) {
  const absl::StatusOr<ChannelInfo> channel = admin.GetChannel(options.service, options.channel);
  if (!channel.ok()) return channel.status();
  if (out.json()) {
    out.Json(ToJson(*channel));
    return absl::OkStatus();
  }
  out.Print({{"service", channel->service},
             {"channel", channel->channel},
             {"epoch", channel->head.epoch},
             {"offset", channel->head.offset},
             {"publications", channel->publications},
             {"last published", out.Time(channel->last_published)},
             {"subscribers", channel->subscribers},
             {"workers", channel->workers},
             {"history", absl::StrCat(channel->history_publications, " of ", channel->history_size,
                                      " publications")},
             {"history bytes", out.Bytes(static_cast<uint64_t>(channel->history_bytes))},
             {"history ttl", HumanDuration(channel->history_ttl)},
             {"oldest offset", channel->oldest_offset},
             {"backlog policy", channel->backlog_policy}});
  return absl::OkStatus();
}

namespace {

std::string PositionText(const Position& position) {
  return absl::StrCat(position.epoch, ":", position.offset);
}

// Returns the text for an empty history.
std::string NoPublications(const ChannelHistoryOptions& options) {
  if (options.since.empty() && options.before.empty()) {
    return "no publications of this channel are kept";
  }
  if (options.before.empty()) return "no publications after that position";
  return options.since.empty() ? "no publications before that position are kept"
                               : "no publications between those positions are kept";
}

// What is told if not everything after `since` is kept; empty if it is.
std::string IncompleteNote(const Position& since, const History& history) {
  const std::string& reason = history.incomplete_reason;
  // A control that tells no reason tells an epoch.
  if (reason == "epoch_changed" ||
      (reason.empty() && since.epoch != history.head.epoch && !history.publications.empty())) {
    return absl::StrCat("epoch ", EscapeControls(since.epoch), " has ended; ",
                        history.publications.empty()
                            ? "nothing of another one is kept"
                            : absl::StrCat("these publications are of epoch ", history.head.epoch));
  }
  if (reason.empty()) return "";
  const std::string position = EscapeControls(PositionText(since));
  std::string what = "publications are missing";
  if (reason == "history_expired") {
    what = absl::StrCat("the first publications after ", position, " are not kept any more");
  } else if (reason == "history_disabled") {
    what = "this channel keeps no history";
  } else if (reason == "offset_unknown") {
    what =
        absl::StrCat(position, " is beyond the newest publication, ", PositionText(history.head));
  }
  return absl::StrCat("incomplete (", EscapeControls(reason), "): ", what);
}

}  // namespace

absl::Status RunChannelsHistory(const ChannelHistoryOptions& options, AdminClient& admin,
                                Output& out) {
  HistoryQuery query{.service = options.service,
                     .channel = options.channel,
                     .limit = options.limit,
                     // After a position the next ones are meant, else the newest.
                     .reverse = options.reverse || options.since.empty()};
  const std::tuple<absl::string_view, const std::string&, Position&> positions[] = {
      {"--since", options.since, query.since}, {"--before", options.before, query.before}};
  std::string current_epoch;
  for (const auto& [option, text, position] : positions) {
    if (text.empty()) continue;
    const absl::StatusOr<Position> parsed = ParsePosition(option, text);
    if (!parsed.ok()) return parsed.status();
    position = *parsed;
    if (position.exists()) continue;
    if (current_epoch.empty()) {
      const absl::StatusOr<ChannelInfo> channel =
          admin.GetChannel(options.service, options.channel);
      if (!channel.ok()) return channel.status();
      current_epoch = channel->head.epoch;
    }
    position.epoch = current_epoch;
  }
  absl::StatusOr<History> history = admin.GetHistory(query);
  if (!history.ok()) return history.status();
  std::vector<Publication>& publications = history->publications;
  if (query.reverse && !options.reverse) std::reverse(publications.begin(), publications.end());
  if (out.json()) {
    const auto append = [](std::string* text, const Publication& publication) {
      absl::StrAppend(text, PublicationLine(publication));
    };
    out.JsonLine(absl::StrCat("[", absl::StrJoin(publications, ",", append), "]"));
  } else {
    for (const Publication& publication : publications) {
      out.Raw(absl::StrCat(PublicationText(publication, out), "\n"));
    }
    if (publications.empty()) out.Note(NoPublications(options));
  }
  if (!options.since.empty()) {
    if (const std::string note = IncompleteNote(query.since, *history); !note.empty()) {
      out.Note(note);
    }
  }
  if (!options.before.empty() && query.before.epoch != history->head.epoch) {
    out.Note(absl::StrCat("epoch ", EscapeControls(query.before.epoch),
                          " has ended; nothing of it is kept"));
  }
  if (history->more && !publications.empty()) {
    if (query.reverse) {
      const Publication& oldest = options.reverse ? publications.back() : publications.front();
      out.Note(absl::StrCat("there are older publications; continue with --before ",
                            PositionText(oldest.position)));
    } else {
      out.Note(absl::StrCat("there are more; continue with --since ",
                            PositionText(publications.back().position)));
    }
  }
  return absl::OkStatus();
}

void AddChannelCommands(Command root) {
  Command channels = root.AddGroup("channels", "Channels and their history", "wsctl channels list");

  auto list = std::make_shared<ChannelListOptions>();
  channels
      .AddCommand("list", "List the channels that control has state of",
                  "wsctl channels list --service mahavishnu --pattern 'workflow:*' --sort recent",
                  [list](Invocation& run) {
                    return run.WithAdmin([&](AdminClient& admin) {
                      return RunChannelsList(*list, admin, run.out());
                    });
                  })
      .Text("--service", "NAME", &list->service, "Only this service; default all",
            Values::kServices)
      .Text("--pattern", "PATTERN", &list->pattern, "Only names that match, such as 'workflow:*'")
      .Choice<ChannelSort>("--sort", &list->sort,
                           {{"name", ChannelSort::kName},
                            {"subscribers", ChannelSort::kSubscribers},
                            {"publications", ChannelSort::kPublications},
                            {"recent", ChannelSort::kRecent}},
                           "Sort order; default name")
      .Number("--limit", &list->limit, 0, 100'000'000, "List at most N; 0 lists all; default 1000")
      .TableFlags();

  auto show = std::make_shared<ChannelShowOptions>();
  channels
      .AddCommand("show", "Show one channel", "wsctl channels show mahavishnu workflow:wf_1",
                  [show](Invocation& run) {
                    return run.WithAdmin([&](AdminClient& admin) {
                      return RunChannelsShow(*show, admin, run.out());
                    });
                  })
      .Argument("SERVICE", &show->service, "Service of the channel", Values::kServices)
      .Argument("CHANNEL", &show->channel, "Name of the channel");

  auto history = std::make_shared<ChannelHistoryOptions>();
  channels
      .AddCommand("history", "Show recent publications of a channel",
                  "wsctl channels history mahavishnu workflow:wf_1 --limit 20",
                  [history](Invocation& run) {
                    return run.WithAdmin([&](AdminClient& admin) {
                      return RunChannelsHistory(*history, admin, run.out());
                    });
                  })
      .Argument("SERVICE", &history->service, "Service of the channel", Values::kServices)
      .Argument("CHANNEL", &history->channel, "Name of the channel")
      .Number("--limit", &history->limit, 1, 1000, "Show at most N, the newest; default 100")
      .Text("--since", "POSITION", &history->since,
            "Show the first ones after this position: EPOCH:OFFSET, or an offset")
      .Text("--before", "POSITION", &history->before, "Show the last ones before this position")
      .Flag("--reverse", &history->reverse, "Show the newest first");
}

}  // namespace fanwire::cli
