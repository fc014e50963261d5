// SubscribeRequest is one subscribe or unsubscribe message of a session, with a SubscribeTarget for
// each channel that it names: what was asked for, what control was asked, and what is confirmed.
//
// Threading: loop-confined.
// Ownership: values; a target borrows its pattern, in which it has an interest.
// Cost:      about 400 bytes for each channel.
// Source:    docs/protocol.md "Subscribing"
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fanout/channel.h"
#include "fanout/client_message.h"
#include "fanout/recovery_queue.h"
#include "fanout/reply.h"

namespace fanwire::fanout {

struct SubscribeTarget {
  static constexpr size_t kItself = SIZE_MAX;

  bool refused() const { return !confirmation.error_code.empty(); }
  void Refuse(absl::string_view code, std::string message);
  void RefuseForbidden();

  ChannelRequest request;
  uint64_t ask = 0;         // 0: no answer is awaited
  bool subscribed = false;  // an answer has come, and only the state is awaited
  ChannelRef channel;       // that was asked for; or `pattern`
  PatternTable* pattern = nullptr;
  std::shared_ptr<const EventFilter> filter;
  RecoveryQueue::Withheld withheld;
  Confirmation confirmation;
  size_t same_as = kItself;  // index of the target that names the channel for this one too
};

struct SubscribeRequest {
  // Memory that the request of such a message takes.
  static size_t BytesOf(const ClientMessage& message, const ReplyContext& context);

  // `message` is of kind kSubscribe or kUnsubscribe, with good channels.
  SubscribeRequest(ClientMessage message, ReplyContext reply_to);

  // Refuses targets that are malformed or not allowed.  Of several that name the same channel it
  // makes one: the first of them, with the filter of the last one and the position of the last one
  // that has any.
  void CheckAndMerge(size_t max_channel_bytes,
                     absl::FunctionRef<bool(absl::string_view name)> may_subscribe);
  // Whether the session's sending pauses until the reply is written.
  bool pauses() const { return many || (subscribe && targets.front().request.state); }
  // What is confirmed of each target, in their order.  Call it once, at the end.
  std::vector<Confirmation> TakeConfirmations();

  ReplyContext context;
  bool subscribe = true;  // false: unsubscribe
  bool many = false;      // it has a list of channels, and gets a list of results
  bool started = false;
  std::vector<SubscribeTarget> targets;
  size_t awaited = 0;      // targets without an answer
  size_t next_answer = 0;  // index of the target that is likely to be answered next
  size_t bytes = 0;        // see BytesOf()
  absl::Duration asked;
  absl::Duration deadline;
};

}  // namespace fanwire::fanout
