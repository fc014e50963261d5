// BuddyDialect is what a client of session-buddy's dialect can say, and what it gets.  Such a
// client is always on exactly one channel: "metrics", or "metrics:SKILL" for one skill.
//
// Threading: loop-confined.
// Ownership: borrows everything; it has no state, so that a session makes one where it needs it.
// Cost:      seven pointers on the stack.
// Source:    docs/protocol.md "session-buddy's dialect"
#pragma once

#include "absl/strings/string_view.h"
#include "fanout/session_output.h"
#include "fanout/subscribe_host.h"

namespace fanwire::fanout {

class BuddyDialect {
 public:
  BuddyDialect(const SubscribeContext& context, SessionOutput* output)
      : context_(context), output_(output) {}

  // The first frame, and the channel that every client begins with.
  void Welcome(bool authenticated);
  // Answers a message.  The dialect has no errors: what cannot be read is ignored.
  void OnMessage(absl::string_view payload);

 private:
  void MoveTo(absl::string_view name);

  const SubscribeContext context_;
  SessionOutput* const output_;
};

}  // namespace fanwire::fanout
