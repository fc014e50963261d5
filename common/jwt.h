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
  std::string user;                      // claim user_id, else sub; may be empty
  std::vector<std::string> permissions;  // claim permissions, else scopes, else words of scope
  std::optional<absl::Time> issued_at;
  std::optional<absl::Time> not_before;
  std::optional<absl::Time> expires_at;
  std::vector<std::string> audience;
};

// The parts of a token whose signature has not been checked.
struct JwtParts {
  std::string header_json;
  std::string claims_json;
  std::string algorithm;
  std::string key_id;
  JwtClaims claims;
};

// The longest token that is accepted; longer ones are refused without being decoded.
inline constexpr size_t kMaxTokenBytes = 8192;

//   INVALID_ARGUMENT  not three base64url parts holding JSON objects
absl::StatusOr<JwtParts> DecodeJwt(absl::string_view token);

class JwtVerifier {
 public:
  // `keys` are HS256 keys.  If a token has an `aud`, it must contain `audience`.
  JwtVerifier(std::vector<JwtKey> keys, std::string audience);

  bool has_keys() const { return !keys_.empty(); }

  // Checks form, algorithm (exactly HS256), signature, exp, nbf and iat (without leeway) and aud.
  //   UNAUTHENTICATED  the message has the reason but never the token: "token expired"
  absl::StatusOr<JwtClaims> Verify(absl::string_view token, absl::Time now) const;

 private:
  std::vector<JwtKey> keys_;
  std::string audience_;
};

// Makes a token signed with HS256.  Claims whose times are not set are left out.
std::string MintJwt(const JwtClaims& claims, const JwtKey& key);

}  // namespace fanwire
