#include "control/requests/history_request.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/json_parse.h"
#include "common/log.h"
#include "control/events/envelope.h"
#include "control/routing/channel_info.h"
#include "control/routing/channel_queries.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

using Json = nlohmann::json;

constexpr int64_t kDefaultEvents = 100;
constexpr int64_t kMaxEvents = 1000;
// The worker puts the answer into an envelope; clients take 1 MiB in all.
constexpr size_t kMaxAnswerBytes = (1 << 20) - (8 << 10);
// Of the answer, what is not events: the channel's name and the keys.
constexpr size_t kFrameBytes = 4 << 10;

constexpr absl::string_view kInternalError = "INTERNAL_ERROR";

absl::string_view ErrorCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return "INVALID_CHANNEL";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    case absl::StatusCode::kUnavailable:
      return "UNAVAILABLE";
    default:
      return kInternalError;
  }
}

class HistoryHandler final : public ClientRequestHandler {
 public:
  explicit HistoryHandler(ChannelQueries* queries) : queries_(queries) {}

  void Handle(const v1::ClientRequest& request, Reply reply) override {
    v1::ClientReply answer;
    answer.set_request_id(request.request_id());
    HistoryRequest asked;
    if (!Parse(request, &asked, &answer)) return reply(std::move(answer));
    queries_->ReadHistory(asked, [asked, answer = std::move(answer), reply = std::move(reply)](
                                     const absl::StatusOr<HistorySlice>& slice) mutable {
      Answer(asked, slice, &answer);
      reply(std::move(answer));
    });
  }

 private:
  static void Refuse(absl::string_view code, std::string message, v1::ClientReply* reply) {
    reply->set_error_code(std::string(code));
    reply->set_error_message(std::move(message));
  }

  // Returns false if the request is refused.
  static bool Parse(const v1::ClientRequest& request, HistoryRequest* asked,
                    v1::ClientReply* reply) {
    const auto refuse = [&](absl::string_view code, std::string message) {
      Refuse(code, std::move(message), reply);
      return false;
    };
    // With the parser of the workers: of two keys of one name both must mean the same one, since
    // the worker has checked whether the session may read that channel.
    const Json data = ParseJson(request.data());
    if (!data.is_object()) return refuse("INVALID_REQUEST", "history: data is not an object");
    const auto field = [&](const char* name) -> const Json& {
      static const Json kNull;
      const auto it = data.find(name);
      return it == data.end() ? kNull : *it;
    };
    const Json& channel = field("channel");
    if (!channel.is_string()) {
      return refuse("INVALID_CHANNEL", channel.is_null() ? "history: data.channel is missing"
                                                         : "history: data.channel is not a text");
    }
    asked->service = request.service();
    asked->channel = channel.get_ref<const std::string&>();
    asked->limit = kDefaultEvents;
    asked->max_bytes = kMaxAnswerBytes - kFrameBytes;
    if (const Json& limit = field("limit"); !limit.is_null()) {
      if (!limit.is_number_integer() || limit < 1 || limit > kMaxEvents) {
        return refuse(
            "INVALID_REQUEST",
            absl::StrCat("history: data.limit is not a whole number from 1 to ", kMaxEvents));
      }
      asked->limit = limit.get<size_t>();
    }
    if (const Json& since = field("since"); !since.is_null()) {
      if (!ToPosition(since, &asked->since.emplace())) {
        return refuse("INVALID_REQUEST",
                      "history: data.since is not {\"epoch\": text, \"offset\": whole number}");
      }
    }
    if (const Json& reverse = field("reverse"); !reverse.is_null()) {
      if (!reverse.is_boolean()) {
        return refuse("INVALID_REQUEST", "history: data.reverse is neither true nor false");
      }
      asked->reverse = reverse.get<bool>();
    }
    return true;
  }

  static void Answer(const HistoryRequest& asked, const absl::StatusOr<HistorySlice>& slice,
                     v1::ClientReply* reply) {
    if (!slice.ok()) {
      const absl::string_view code = ErrorCode(slice.status());
      if (code != kInternalError) {
        return Refuse(code, std::string(slice.status().message()), reply);
      }
      // What is wrong in here is not for clients.
      static LogLimiter limiter(absl::Seconds(10));
      if (int64_t left_out; limiter.Admit(&left_out)) {
        LogError("history.failed",
                 {{"service", asked.service}, {"reason", slice.status()}, {"left_out", left_out}});
      }
      return Refuse(code, "Internal server error", reply);
    }
    Write(asked.channel, *slice, reply);
  }

  // An epoch that no channel can have is a position of another series.
  static bool ToPosition(const Json& since, Position* position) {
    if (!since.is_object()) return false;
    const auto epoch = since.find("epoch");
    const auto offset = since.find("offset");
    if (epoch == since.end() || !epoch->is_string() || offset == since.end() ||
        !offset->is_number_integer() || *offset < 0 || *offset > INT64_MAX) {
      return false;
    }
    if (!Epoch::Parse(epoch->get_ref<const std::string&>(), &position->epoch)) {
      position->epoch = Epoch();
    }
    position->offset = offset->get<int64_t>();
    return true;
  }

  static void Write(absl::string_view channel, const HistorySlice& slice, v1::ClientReply* reply) {
    std::string text = "{\"channel\":";
    AppendJsonText(channel, &text);
    absl::StrAppend(&text, ",\"epoch\":\"", slice.head.epoch.ToText(),
                    "\",\"offset\":", slice.head.offset, ",\"events\":[");
    bool more = slice.more;
    size_t written = 0;
    for (const PublicationPtr& publication : slice.publications) {
      const absl::string_view envelope = publication->envelope();
      if (text.size() + envelope.size() + 16 > kMaxAnswerBytes) {
        if (written == 0) {
          return Refuse("LIMIT_EXCEEDED",
                        absl::StrCat("history: event ", publication->offset(), " has ",
                                     envelope.size(), " bytes; an answer holds ", kMaxAnswerBytes),
                        reply);
        }
        more = true;
        break;
      }
      if (written++ > 0) text.push_back(',');
      text.append(envelope.data(), envelope.size());
    }
    text += more ? "],\"more\":true" : "]";
    if (*slice.incomplete_reason != '\0') {
      absl::StrAppend(&text, ",\"complete\":false,\"reason\":\"", slice.incomplete_reason, "\"");
    }
    text.push_back('}');
    reply->set_data(std::move(text));
  }

  ChannelQueries* const queries_;
};

}  // namespace

std::unique_ptr<ClientRequestHandler> MakeHistoryRequestHandler(ChannelQueries* queries) {
  return std::make_unique<HistoryHandler>(queries);
}

}  // namespace fanwire::control
