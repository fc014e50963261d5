// PublishRules say what the clients of one service may publish, and on which channels.  The first
// rule holds whose pattern and events fit.
//
//   a session with a token     one of the rule's permissions, or an administrator's
//   a session without a token  where the rule is `anonymous`, on a listener of a loopback address
//
// Threading: immutable.
// Cost:      Find() tries the rules in order.
// Source:    docs/protocol.md "Publishing", config.proto ClientPublishRule
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fanout/token_verifier.h"
#include "proto/channel_name.h"

namespace fanwire::v1 {
class WorkerService;
}

namespace fanwire::fanout {

class PublishRules {
 public:
  struct Rule {
    ChannelPattern pattern;
    std::vector<std::string> events;  // exact, or with a last '*'
    std::vector<std::string> any_of;
    bool anonymous = false;
    bool skip_history = false;
    absl::Duration conflate_interval;  // zero: each event is sent at once
    std::vector<std::string> copies;   // channels, with a '*' for what is behind the kind
  };

  explicit PublishRules(const v1::WorkerService& service);

  // Whether clients may publish anything at all.
  bool any() const { return !rules_.empty(); }

  // The rule for the event on this channel; null: clients may not publish it there.
  const Rule* Find(absl::string_view channel, absl::string_view event) const;

  // Whether a client's message of this name is itself a publication: the service's catalog has the
  // event, and a rule names it.
  bool IsPublication(absl::string_view event) const { return events_.contains(event); }

  // The channel on which the catalog has the event with this data, a JSON object: of its templates
  // the first that the data can fill in and that a rule allows.  Empty: there is none.
  std::string ChannelOf(absl::string_view event, absl::string_view data) const;

  // Whether a session may publish by this rule.  `identity` is null without a token; `loopback`:
  // the session's listener has a loopback address.
  static bool Allows(const Rule& rule, const TokenVerifier& verifier, const Identity* identity,
                     bool loopback);

  // The further channels that get an event which was published on this one.
  static std::vector<std::string> CopiesOf(const Rule& rule, absl::string_view channel);

 private:
  std::vector<Rule> rules_;
  absl::flat_hash_map<std::string, std::vector<std::string>> events_;  // templates by name
};

}  // namespace fanwire::fanout
