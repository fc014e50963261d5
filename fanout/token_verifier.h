// TokenVerifier decides who may connect to a service and which channels they may subscribe to.  It
// uses the keys and rules that control pushed, and asks nobody.
//
// Threading: immutable.
// Source:    docs/protocol.md "Authentication"
#pragma once

#include <cstddef>
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

// The identity that a token gives to a session.
struct Identity {
  std::string user;  // may be empty
  std::vector<std::string> permissions;
  std::string info = {};  // of the user as a member of channels: a JSON object; empty: none
  // When the session ends: at the token's `exp`, or `auth.leeway` after it if the token was taken
  // later than its `exp`.
  std::optional<absl::Time> expires_at;
};

class TokenVerifier {
 public:
  explicit TokenVerifier(const v1::WorkerService& service);

  // Whether the service has a key with which tokens can be checked.
  bool has_keys() const { return verifier_.has_keys(); }

  //   UNAUTHENTICATED  the token is malformed, has expired, or no key verifies it; the message
  //                    names the claim
  absl::StatusOr<Identity> Verify(absl::string_view token, absl::Time now) const;

  // Whether `identity` may subscribe to `channel`, a name or a pattern.  A pattern is allowed if
  // every channel that it can match is allowed.
  bool MaySubscribe(const Identity& identity, absl::string_view channel) const;

  // Whether `identity` has one of the permissions.  An administrator has all of them.
  bool HasOneOf(const Identity& identity, const std::vector<std::string>& permissions) const;

 private:
  struct Rule {
    std::string text;     // without a last '*'
    bool prefix = false;  // else the exact channel
    std::vector<std::string> any_of;
  };

  const Rule* RuleFor(absl::string_view channel) const;
  bool IsAdmin(const Identity& identity) const;
  // As HasOneOf(), but without a look at the administrators.
  bool Allows(const Identity& identity, const std::vector<std::string>& any_of) const;

  const JwtVerifier verifier_;
  const absl::Duration leeway_;
  const size_t max_info_bytes_;
  std::vector<Rule> rules_;
  std::vector<std::string> admin_permissions_;
  bool read_reads_all_ = false;
};

}  // namespace fanwire::fanout
