// RequestAccess knows the requests that control or the service itself answers for one service, and
// decides who may ask them.  Control does not decide again.
//
//   history, presence                  who may subscribe to the channel
//   a served request                   who has one of its permissions, or is an administrator
//   a status request that has a kind   who may subscribe to the entity's channel: workflow:wf_1
//   a status request that has feeds    who may subscribe to all channels that feed it
//   any other                          who has one of its permissions, or is an administrator
//
// A request's rule is the one of served_requests with its exact name, else the status request, else
// the first pattern of served_requests that fits.  A request that responders serve without any rule
// is for administrators.
//
// Threading: immutable.
// Cost:      one pass over the request's data, and a comparison for each pattern.
// Source:    docs/protocol.md "Requests"
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fanout/token_verifier.h"
#include "proto/request_name.h"

namespace fanwire::v1 {
class WorkerService;
}

namespace fanwire::fanout {

class RequestAccess {
 public:
  // How long clients wait for a responder's answer if the configuration does not say.
  static constexpr absl::Duration kServedTimeout = absl::Seconds(10);

  // Who answers a request.
  struct Handling {
    bool answered = false;                    // by anybody
    bool served = false;                      // a responder may answer it
    absl::Duration timeout = kServedTimeout;  // served: how long the client waits
  };

  // A status request and its data, a JSON object.
  struct StateRequest {
    std::string name;
    std::string data;
  };

  explicit RequestAccess(const v1::WorkerService& service);

  // `registered` are the requests that responders serve at present.
  Handling HandlingOf(absl::string_view request, const RequestNames& registered) const;

  // OK if a client with this identity may ask.  `data` is the request's data, a JSON object.  If it
  // names no entity or channel, control is left to say what is wrong with it.
  //   PERMISSION_DENIED  the message is for the client
  absl::Status Check(const TokenVerifier& verifier, const Identity& identity,
                     absl::string_view request, absl::string_view data) const;

  // The status request that tells the state of what this channel tells of: of "workflow:wf_1" it is
  // {"get_workflow_status", {"workflow_id":"wf_1"}}.  nullopt: none of the service's does.
  std::optional<StateRequest> StateRequestOf(absl::string_view channel) const;

 private:
  struct Rule {
    std::string argument;
    std::string kind;
    std::vector<std::string> feeds;
    std::vector<std::string> any_of;
    bool served = false;
    absl::Duration timeout = kServedTimeout;
  };

  // The first pattern that fits; null: none does.
  const Rule* FindPattern(absl::string_view request) const;

  // A status request of one entity.
  struct EntityRequest {
    std::string name;
    std::string argument;
  };

  absl::flat_hash_map<std::string, Rule> rules_;            // by request
  absl::flat_hash_map<std::string, EntityRequest> states_;  // by kind
  std::vector<std::pair<std::string, Rule>> patterns_;      // of served requests
};

}  // namespace fanwire::fanout
