// Decodes, verifies and makes JSON Web Tokens (RFC 7519) with HS256 signatures.
//
// Threading: JwtVerifier is immutable and safe from every thread.
// Cost:      one verification takes about 5 us.
// Source:    docs/protocol.md "Authentication"
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fanwire {

struct JwtKey {
  std::string id;      // `kid`; empty: tried for tokens with no `kid` or an unknown one
  std::string secret;  // the shared secret
};

struct JwtClaims {
  std::string user;  // claim user_id, else sub: a text, or a whole number's digits; may be empty
  std::vector<std::string> permissions;  // claim permissions, else scopes, else words of scope
  std::optional<absl::Time> issued_at;
  std::optional<absl::Time> not_before;
  std::optional<absl::Time> expires_at;
  std::vector<std::string> audience;
  std::string info = {};  // claim info, a JSON object; empty: there is none, or it is no object
};

// The parts of a token whose signature has not been checked.
struct JwtParts {
  std::string header_json;
  std::string claims_json;
  std::string algorithm;
  std::string key_id;
  JwtClaims claims;
  // Why no key and no time make the token acceptable (INVALID_ARGUMENT); the message names the
  // claim: "claim exp: a text; seconds since 1970 are wanted".  That claim is missing in `claims`.
  absl::Status fault;
};

// The longest token that is accepted; longer ones are refused without being decoded.
inline constexpr size_t kMaxTokenBytes = 8192;
// The last second of the year 9999: times beyond it cannot be written as RFC 3339.
inline constexpr int64_t kMaxJwtSeconds = 253402300799;

//   INVALID_ARGUMENT  not three base64url parts holding JSON objects; the message names the part
absl::StatusOr<JwtParts> DecodeJwt(absl::string_view token);

// OK if the times in `claims` let the token be used at `now`, as seen by a clock that may differ by
// `leeway` from that of who issued it.
//   UNAUTHENTICATED  the message names the claim
absl::Status CheckJwtTimes(const JwtClaims& claims, absl::Time now, absl::Duration leeway);

class JwtVerifier {
 public:
  // `keys` are HS256 keys.  If a token has an `aud`, it must contain `audience`.  By `leeway` the
  // clocks of issuers may differ from this machine's.
  JwtVerifier(std::vector<JwtKey> keys, std::string audience,
              absl::Duration leeway = absl::ZeroDuration());

  bool has_keys() const { return !keys_.empty(); }

  // Checks form, algorithm (exactly HS256), crit (nothing is known), signature, exp, nbf, iat and
  // aud.
  //   UNAUTHENTICATED  the message names the part or the claim and has the reason, but never the
  //                    token
  absl::StatusOr<JwtClaims> Verify(absl::string_view token, absl::Time now) const;

 private:
  // OK if one of the keys has signed the token.
  absl::Status CheckSignature(absl::string_view token, const JwtParts& parts) const;

  std::vector<JwtKey> keys_;
  std::string audience_;
  absl::Duration leeway_;
};

// Makes a token signed with HS256.  Claims whose times are not set are left out.  Texts that are
// not UTF-8 get U+FFFD in place of what is wrong: callers check them.
std::string MintJwt(const JwtClaims& claims, const JwtKey& key);

}  // namespace fanwire
