// The texts that a session sends: replies, errors, welcomes and notices of the common protocol, and
// the flat objects of session-buddy's dialect.
//
// Threading: pure functions.
// Cost:      one string each; no document is built.
// Source:    docs/protocol.md
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fanout/client_message.h"

namespace fanwire::fanout {

// As fanwire.v1.CorrelationMode.
enum class CorrelationMode : uint8_t { kAuto = 1, kId = 2, kEcho = 3 };

// What a reply repeats of its request.
struct ReplyContext {
  std::optional<std::string> correlation;             // the reply's correlation_id
  std::optional<std::string> request_id;              // as given
  std::optional<std::string> request_correlation_id;  // as given
};

// Memory that the context's texts take.
size_t MemoryBytes(const ReplyContext& context);

ReplyContext ContextOf(const ClientMessage& message, CorrelationMode mode);

// Appends `text` as a JSON text, quotes included; with `ascii` other characters are escaped.
void AppendJsonText(absl::string_view text, std::string* out, bool ascii = false);

// `type` "response" with `event`, `data` (a JSON object) and further top-level members (each as
// `,"key":value`, already JSON).
std::string ResponseText(const ReplyContext& context, absl::string_view event,
                         absl::string_view data, absl::Time now, absl::string_view more = "");

// `reason`, if there is one, says in a top-level member of its own what a fixed message does not.
std::string ErrorText(const ReplyContext& context, absl::string_view code,
                      absl::string_view message, absl::Time now, absl::string_view reason = "");

std::string PongText(const ReplyContext& context, absl::Time now);

// An event that the worker itself makes, without position.
std::string NoticeText(absl::string_view event, absl::string_view data,
                       std::optional<absl::string_view> room, absl::Time now);

// The state that comes with a confirmation.
struct ConfirmedState {
  std::string json;    // a JSON object; empty: there is none, see `reason`
  std::string reason;  // too_large, events_missed, unavailable
};

// The data of one confirmation:
//   {"status":…,"channel":…[,"epoch":…,"offset":…[,"recovered":…]][,"state":…,"state_offset":…]}
struct Confirmation {
  bool subscribed = true;
  std::string channel;
  bool has_position = false;
  std::string epoch;
  int64_t offset = 0;
  bool asked_recovery = false;
  bool recovered = false;
  int64_t recovered_count = 0;
  std::string reason;
  std::shared_ptr<const ConfirmedState> state;  // null: it does not come
  // Instead: why it failed.
  std::string error_code;
  std::string error_message;
};
std::string ConfirmationData(const Confirmation& confirmation);

// The answer to a subscribe or unsubscribe: one confirmation, or `many`.
std::string ConfirmationText(const ReplyContext& context, bool subscribed, bool many,
                             const std::vector<Confirmation>& confirmations, absl::Time now);

struct WelcomeFacts {
  std::string connection_id;
  std::string server;
  std::string message;
  bool authenticated = false;
  bool secure = false;
  double rate_limit = 0;
  double burst = 0;
  uint64_t max_message_bytes = 0;
  uint64_t max_channels = 0;
  std::optional<absl::Time> expires_at;
  bool recoverable = false;
  bool publishing = false;  // clients may publish
  bool presence = false;    // the members of some channels are tracked
};
std::string WelcomeText(const WelcomeFacts& facts, absl::Time now);

std::string AuthenticatedText(const ReplyContext& context, const std::string& user, absl::Time now);

// The answer to `refresh_token`; `expires_at` is that of the new token, if it expires.
std::string RefreshedText(const ReplyContext& context, const std::string& user,
                          const std::optional<absl::Time>& expires_at, absl::Time now);

// "token.expiring".
std::string ExpiringText(absl::Time expires_at, absl::Time now);

// "channel.unsubscribed".
std::string UnsubscribedText(absl::string_view channel, absl::string_view reason, absl::Time now);

// "channel.skipped"; `epoch` if it changed, else empty.  A new epoch of which nothing is missing
// has `from` beyond `to`, and is told as 0 to 0.
std::string SkippedText(absl::string_view channel, int64_t from, int64_t to,
                        absl::string_view reason, absl::string_view epoch, absl::Time now);

std::string DrainingText(absl::Duration min, absl::Duration max, absl::string_view reason,
                         absl::Time now);

// ---- session-buddy's dialect

std::string BuddyConnectedText(bool authenticated, absl::Time now);
std::string BuddyConfirmedText(const std::optional<std::string>& skill, absl::Time now);

struct BuddyMessage {
  enum class Kind : uint8_t { kSubscribe, kUnsubscribe, kPing, kToken, kIgnored };
  Kind kind = Kind::kIgnored;
  std::optional<std::string> skill;
  std::string token;
};
// Never fails: what is no command is ignored.
BuddyMessage ParseBuddyMessage(absl::string_view text);

}  // namespace fanwire::fanout
