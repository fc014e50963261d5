// TokenVerifier decides who may connect to a service and what they may subscribe to, alone, with
// the keys and rules that control pushed.
//
// Threading: immutable.
// Source:    docs/protocol.md "Authentication"
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/jwt.h"
#include "proto/channel_name.h"

namespace fanwire::v1 {
class WorkerService;
}

namespace fanwire::fanout {

// Who a session is.
struct Identity {
  std::string user;  // may be empty
  std::vector<std::string> permissions;
  std::optional<absl::Time> expires_at;
};

class TokenVerifier {
 public:
  explicit TokenVerifier(const v1::WorkerService& service);

  // Whether there is any key to check tokens with.
  bool has_keys() const { return verifier_.has_keys(); }

  //   UNAUTHENTICATED
  absl::StatusOr<Identity> Verify(absl::string_view token, absl::Time now) const;

  // Whether `identity` may subscribe to `channel`, a name or a pattern: of a pattern every channel
  // that it can match must be allowed.
  bool MaySubscribe(const Identity& identity, absl::string_view channel) const;

 private:
  struct Rule {
    std::string text;     // without a last '*'
    bool prefix = false;  // else the exact channel
    std::vector<std::string> any_of;
  };

  const Rule* RuleFor(absl::string_view channel) const;

  const JwtVerifier verifier_;
  std::vector<Rule> rules_;
  std::vector<std::string> admin_permissions_;
  bool read_reads_all_ = false;
};

}  // namespace fanwire::fanout
