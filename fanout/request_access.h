// RequestAccess knows the requests that control answers for one service, and decides who may ask
// them.  Control does not decide again.
//
//   history                  who may subscribe to the channel
//   a request with a kind    who may subscribe to the channel of the entity: workflow:wf_1
//   a request with feeds     who may subscribe to all channels that feed it
//   any other                who has one of its permissions, or is an administrator
//
// Threading: immutable.
// Cost:      one pass over the request's data.
// Source:    docs/protocol.md "Requests"
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "fanout/token_verifier.h"

namespace fanwire::v1 {
class WorkerService;
}

namespace fanwire::fanout {

class RequestAccess {
 public:
  explicit RequestAccess(const v1::WorkerService& service);

  // Whether control answers this request.
  bool Answers(absl::string_view request) const {
    return request == "history" || rules_.contains(request);
  }

  // OK if a client with this identity may ask.  `data` is the request's data, a JSON object.  If it
  // names no entity or channel, control is left to say what is wrong with it.
  //   PERMISSION_DENIED  the message is for the client
  absl::Status Check(const TokenVerifier& verifier, const Identity& identity,
                     absl::string_view request, absl::string_view data) const;

 private:
  struct Rule {
    std::string argument;
    std::string kind;
    std::vector<std::string> feeds;
    std::vector<std::string> any_of;
  };

  absl::flat_hash_map<std::string, Rule> rules_;  // by request
};

}  // namespace fanwire::fanout
