// Interest tells control which channels and patterns this worker gains and loses, and sends the
// subscribes and requests of its sessions.  After each attachment it sends all of this again.  It
// hands each answer to the session that asked.
//
// Threading: loop-confined.
// Ownership: borrows link, services and sessions.  A session calls Forget() for its open questions
//            before it is destroyed.
// Cost:      a message item for each channel gained or lost, and for each question.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fanout/channel.h"
#include "fanout/control_link.h"
#include "fanout/hub.h"
#include "fanout/upstream.h"
#include "proto/policies.h"

namespace fanwire::v1 {
class ClientReplies;
class SubscribeResult;
}  // namespace fanwire::v1

namespace fanwire::fanout {

class Interest {
 public:
  // `services` lists the services of this worker.
  Interest(ControlLink* link, std::function<std::vector<Service*>()> services);

  // See Upstream.
  void Want(Channel* channel);
  void Unwant(Channel* channel);
  void Want(PatternTable* table);
  void Unwant(PatternTable* table);
  uint64_t Ask(Session* session, const SubscribeAsk& ask);
  uint64_t Request(Session* session, const RequestAsk& ask);
  void Forget(uint64_t ask);

  // The attachment has ended.  Answers the requests that may have been carried out, and states that
  // have not come yet, with UNAVAILABLE; all other questions are asked again after the next
  // attachment.
  void OnDetached();

  // Sends all interest with the positions applied.  Call it after each attachment, and when
  // control's digest differs.
  void TellInterest();
  // Sends all questions without an answer.  Call it after each attachment, behind TellInterest().
  void AskAgain();

  void OnSubscribeResult(const v1::SubscribeResult& result);
  void OnClientReplies(const v1::ClientReplies& replies);

  // The number of wanted channels and patterns, and the xor of their hashes
  // (proto/interest_hash.h).
  std::pair<uint64_t, uint64_t> digest() const { return {count_, hash_}; }
  size_t asks() const { return asks_.size(); }

 private:
  // A subscribe or request without an answer.
  struct Open {
    Session* session = nullptr;
    SubscribeAsk subscribe;
    ChannelRef channel;   // keeps subscribe.channel
    std::string request;  // set: a request
    std::string data;
    std::unique_ptr<PublishAsk> publish;  // set: the request publishes
    bool served = false;
    bool sent = false;
    bool subscribed = false;            // only the state has not come yet
    std::optional<RequestReply> state;  // that has come before the answer to the subscribe
    absl::Duration deadline = absl::InfiniteDuration();  // served
  };

  void Tell(bool add, const Service* service, Dialect dialect, absl::string_view name,
            bool pattern);
  void Send(uint64_t ask, Open* open);
  void SendRequest(uint64_t ask, Open* open);

  ControlLink* const link_;
  const std::function<std::vector<Service*>()> services_;
  absl::flat_hash_map<uint64_t, Open> asks_;
  uint64_t next_ask_ = 1;
  uint64_t count_ = 0;
  uint64_t hash_ = 0;
};

}  // namespace fanwire::fanout
