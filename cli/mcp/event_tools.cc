// The tools that show events: the history of a channel, and what is published now.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "cli/commands/channels.h"
#include "cli/json.h"
#include "cli/mcp/mcp_tool.h"
#include "cli/mcp/rpc_message.h"
#include "common/mutex.h"

namespace fanwire::cli {
namespace {

// What a result has besides publications.
constexpr size_t kBytesBesides = 1000;

constexpr char kPublicationsSchema[] =
    R"({"type":"array","items":{"type":"object","properties":{"service":{"type":"string"},)"
    R"("channel":{"type":"string"},"event":{"type":"string"},"position":{"type":"object",)"
    R"("properties":{"epoch":{"type":"string"},"offset":{"type":"integer"}},)"
    R"("required":["epoch","offset"]},"received_at":{"type":["string","null"]},)"
    R"("envelope":{"type":["object","null"],"description":"The JSON that clients receive"}},)"
    R"("required":["service","channel","event","received_at","envelope"]}})";
constexpr char kPositionSchema[] =
    R"({"type":"object","properties":{"epoch":{"type":"string"},"offset":{"type":"integer"}},)"
    R"("required":["epoch","offset"]})";

// A JSON array of publications that stops before it gets too large.
class PublicationArray {
 public:
  explicit PublicationArray(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Returns false, and takes nothing, if the array would be too large.
  bool Add(const Publication& publication) {
    std::string line = PublicationLine(publication);
    if (bytes_ + line.size() + 1 > max_bytes_) return false;
    bytes_ += line.size() + 1;
    lines_.push_back(std::move(line));
    return true;
  }
  void Reverse() { std::reverse(lines_.begin(), lines_.end()); }
  size_t size() const { return lines_.size(); }
  std::string Json() const {
    std::string json = "[";
    for (const std::string& line : lines_) absl::StrAppend(&json, json.size() > 1 ? "," : "", line);
    return json + "]";
  }

 private:
  const size_t max_bytes_;
  size_t bytes_ = kBytesBesides;
  std::vector<std::string> lines_;
};

std::string PositionName(const Position& position) {
  return absl::StrCat(position.epoch, ":", position.offset);
}

// Reads the arguments `since` and `before`.  An offset alone is of the current epoch.
absl::Status ReadPositions(const ToolArguments& arguments, AdminClient& admin,
                           HistoryQuery* query) {
  const std::pair<const char*, Position*> positions[] = {{"since", &query->since},
                                                         {"before", &query->before}};
  for (const auto& [name, position] : positions) {
    const std::string text = arguments.Text(name);
    if (text.empty()) continue;
    const absl::StatusOr<Position> parsed = ParsePosition(name, text);
    if (!parsed.ok()) return absl::InvalidArgumentError(parsed.status().message());
    *position = *parsed;
    if (position->exists()) continue;
    const absl::StatusOr<ChannelInfo> channel = admin.GetChannel(query->service, query->channel);
    if (!channel.ok()) return channel.status();
    position->epoch = channel->head.epoch;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> RunGetHistory(const ToolArguments& arguments, McpCall& call) {
  HistoryQuery query{.service = arguments.Text("service"),
                     .channel = arguments.Text("channel"),
                     .limit = static_cast<uint32_t>(arguments.Number("limit", 50))};
  absl::Status status = ReadPositions(arguments, call.admin(), &query);
  if (!status.ok()) return status;
  query.reverse = !query.since.exists();  // without `since` the newest are meant
  query.max_bytes = static_cast<int64_t>(call.settings().max_result_bytes);
  const absl::StatusOr<History> history = call.admin().GetHistory(query);
  if (!history.ok()) return history.status();
  PublicationArray publications(call.settings().max_result_bytes);
  const Publication* last = nullptr;
  for (const Publication& publication : history->publications) {
    if (!publications.Add(publication)) break;
    last = &publication;
  }
  const bool cut = publications.size() < history->publications.size();
  if (cut && last == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the publication at offset ", history->publications.front().position.offset,
                     " alone is larger than the ", call.settings().max_result_bytes,
                     " bytes of a result; `wsctl mcp --max-result-bytes N` allows more"));
  }
  if (query.reverse) publications.Reverse();
  const bool more = cut || history->more;
  const std::string next = more && last != nullptr
                               ? absl::StrCat("{\"", query.reverse ? "before" : "since",
                                              "\":", RpcText(PositionName(last->position)), "}")
                               : "null";
  return WithWarnings(
      absl::StrCat(
          "{\"head\":", CompactJson(ToJson(history->head)),
          ",\"publications\":", publications.Json(), ",\"more\":", more ? "true" : "false",
          ",\"continue_with\":", next, ",\"incomplete\":",
          history->incomplete_reason.empty() ? "null" : RpcText(history->incomplete_reason), "}"),
      call.admin());
}

// Tells a call's progress at intervals from a thread of its own, while it lives.
class ProgressTicker {
 public:
  ProgressTicker(absl::Duration interval, std::function<void(int tick)> tell) {
    thread_ = std::thread([this, interval, tell = std::move(tell)] {
      for (int tick = 1;; ++tick) {
        {
          MutexLock lock(&mu_);
          const absl::Time until = absl::Now() + interval;
          while (!ended_ && absl::Now() < until) {
            changed_.WaitWithTimeout(&mu_, until - absl::Now());
          }
          if (ended_) return;
        }
        tell(tick);
      }
    });
  }
  ~ProgressTicker() {
    {
      MutexLock lock(&mu_);
      ended_ = true;
      changed_.Signal();
    }
    thread_.join();
  }
  ProgressTicker(const ProgressTicker&) = delete;
  ProgressTicker& operator=(const ProgressTicker&) = delete;

 private:
  Mutex mu_;
  CondVar changed_;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

absl::StatusOr<std::string> TailEvents(const ToolArguments& arguments, McpCall& call) {
  const int64_t seconds = arguments.Number("seconds", 10);
  const size_t limit = static_cast<size_t>(arguments.Number("limit", 100));
  const TailRequest request{.service = arguments.Text("service"),
                            .pattern = arguments.Text("pattern", "**"),
                            .events = arguments.Texts("events"),
                            .max_time = absl::Seconds(seconds)};
  std::atomic<size_t> taken = 0;
  std::optional<ProgressTicker> ticker;
  if (call.wants_progress()) {
    const double step = absl::ToDoubleSeconds(call.settings().progress_interval);
    ticker.emplace(call.settings().progress_interval, [&call, &taken, step, seconds](int tick) {
      call.Progress(std::min(step * tick, static_cast<double>(seconds)),
                    static_cast<double>(seconds), absl::StrCat(taken.load(), " publications"));
    });
  }
  PublicationArray publications(call.settings().max_result_bytes);
  int64_t left_out = 0;
  absl::string_view ended = "time";
  call.SetCollects();
  const absl::Status status = call.admin().Tail(request, [&](const TailUpdate& update) {
    left_out += update.left_out;
    for (const Publication& publication : update.publications) {
      if (publications.size() == limit) {
        ended = "limit";
        return false;
      }
      if (!publications.Add(publication)) {
        ended = "bytes";
        return false;
      }
      ++taken;
    }
    if (publications.size() == limit) ended = "limit";
    return publications.size() < limit;
  });
  ticker.reset();
  if (!status.ok()) return status;
  if (ended == "time" && call.ended()) ended = "client";
  return WithWarnings(absl::StrCat("{\"publications\":", publications.Json(),
                                   ",\"left_out\":", left_out, ",\"ended_by\":\"", ended, "\"}"),
                      call.admin());
}

}  // namespace

void AddEventTools(std::vector<McpTool>* tools) {
  const std::string service = RequiredText("Name of the service, such as mahavishnu");
  tools->push_back(
      {.name = "get_history",
       .title = "History of a channel",
       .description =
           "Show the newest publications that are kept of a channel, the newest last; with `since` "
           "the first ones after that position. If `more` is true, call again with the argument in "
           "`continue_with`. `incomplete` is the reason why publications after `since` are "
           "missing, "
           "or null.",
       .input_schema = InputSchema(
           {{"service", service},
            {"channel", RequiredText("The channel (room), such as workflow:wf_1; no pattern")},
            {"limit", WholeNumber(1, 1000, 50, "At most so many publications")},
            {"since", OptionalText("Only publications after this position: EPOCH:OFFSET, or an "
                                   "offset of the current epoch")},
            {"before", OptionalText("Only publications before this position, written as since")}},
           {"service", "channel"}),
       .output_schema =
           OutputSchema({{"head", kPositionSchema},
                         {"publications", kPublicationsSchema},
                         {"more", kYesOrNo},
                         {"continue_with",
                          R"({"type":["object","null"],"properties":{"since":{"type":"string"},)"
                          R"("before":{"type":"string"}}})"},
                         {"incomplete", kTextOrNull}}),
       .annotations = ReadsOnly(),
       .run = RunGetHistory});
  tools->push_back(
      {.name = "tail_events",
       .title = "Watch events",
       .description =
           "Watch a service's publications for some seconds and return those that came, at most "
           "`limit`. `ended_by` says what ended it: time, limit, bytes (a result may not be "
           "larger) or client. `left_out` counts publications that came too fast.",
       .input_schema = InputSchema(
           {{"service", service},
            {"pattern", OptionalText("Channel or pattern, such as workflow:*; null means all "
                                     "channels")},
            {"events", R"({"type":"array","items":{"type":"string"},"maxItems":100,"default":[],)"
                       R"("description":"Only events of these names; empty means all"})"},
            {"seconds", WholeNumber(1, 300, 10,
                                    "How long to watch. Many clients give up on a "
                                    "call after 60 s unless it tells progress")},
            {"limit", WholeNumber(1, 1000, 100, "End when so many publications have come")}},
           {"service"}),
       .output_schema = OutputSchema(
           {{"publications", kPublicationsSchema},
            {"left_out", kWhole},
            {"ended_by", R"({"type":"string","enum":["time","limit","bytes","client"]})"}}),
       .annotations = ReadsOnly(),
       .run = TailEvents});
}

}  // namespace fanwire::cli
