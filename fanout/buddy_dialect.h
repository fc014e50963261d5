// BuddyDialect is what a client of session-buddy's dialect can say, and what it gets.  Such a
// client is always on exactly one channel: "metrics", or "metrics:SKILL" for one skill.
//
// Threading: loop-confined.
// Ownership: borrows everything; it has no state, so that a session makes one where it needs it.
// Cost:      six pointers on the stack.
// Source:    docs/protocol.md "session-buddy's dialect"
#pragma once

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "fanout/service.h"
#include "fanout/session_output.h"
#include "fanout/subscribe_queue.h"
#include "fanout/subscription_set.h"
#include "fanout/upstream.h"

namespace fanwire::fanout {

class BuddyDialect {
 public:
  // `host` is what the session subscribes with.
  BuddyDialect(SubscribeQueue::Host* host, SubscriptionSet* subscriptions, SessionOutput* output,
               Service* service, Upstream* upstream, const Clock* clock)
      : host_(host),
        subscriptions_(subscriptions),
        output_(output),
        service_(service),
        upstream_(upstream),
        clock_(clock) {}

  // The first frame, and the channel that every client begins with.
  void Welcome(bool authenticated);
  // Answers a message.  The dialect has no errors: what cannot be read is ignored.
  void OnMessage(absl::string_view payload);

 private:
  void MoveTo(absl::string_view name);

  SubscribeQueue::Host* const host_;
  SubscriptionSet* const subscriptions_;
  SessionOutput* const output_;
  Service* const service_;
  Upstream* const upstream_;
  const Clock* const clock_;
};

}  // namespace fanwire::fanout
