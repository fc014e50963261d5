// ClientPublishing is the publishing half of one session: it checks what the client publishes
// against the service's rules, paces it (PublishPacer), has it sent to control, and tells the
// client what became of it.
//
// A client that sends the event itself, not the command `publish`, is told nothing: existing
// clients expect no answer to an event.
//
// Threading: loop-confined.
// Ownership: a part of its Session.  A reply may close the session, which destroys this.
// Cost:      made at the first event that a client publishes; about 200 bytes, and a timer of the
//            loop while an event waits.
// Source:    docs/protocol.md "Publishing"
#pragma once

#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fanout/client_message.h"
#include "fanout/client_requests.h"
#include "fanout/counts.h"
#include "fanout/net/event_loop.h"
#include "fanout/publish_pacer.h"
#include "fanout/reply.h"
#include "fanout/upstream.h"

namespace fanwire::fanout {

class Session;

class ClientPublishing {
 public:
  // `requests` are the session's.
  ClientPublishing(Session* session, ClientRequests* requests);
  ~ClientPublishing();
  ClientPublishing(const ClientPublishing&) = delete;
  ClientPublishing& operator=(const ClientPublishing&) = delete;

  void OnPublication(ClientPublication publication, ReplyContext context);

  // Sends what waits: the session is about to end.
  void SendAll();

  // What became of an event by control's answer.
  static PublishResult ResultOf(const RequestReply& reply);

 private:
  // Counts, and tells the client unless the item is quiet.
  static void Refuse(Session* session, const PublishPacer::Item& item, PublishResult result,
                     absl::string_view code, absl::string_view message);
  PublishPacer::Rate rate() const;
  void Send(std::vector<PublishPacer::Item> items);
  void Arm();
  void OnTimer();

  Session* const session_;
  ClientRequests* const requests_;
  PublishPacer pacer_;
  EventLoop::TimerId timer_ = 0;
  absl::Duration armed_ = absl::InfiniteDuration();
};

}  // namespace fanwire::fanout
