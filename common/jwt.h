// JSON Web Tokens (RFC 7519): what a token says, whether its signature holds, and making one.
//
// Threading: JwtVerifier is immutable and safe from every thread.
// Cost:      an HS256 verification takes some 5 us.
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
  std::string id;      // `kid`; empty: tried for every token that names none or an unknown one
  std::string secret;  // the shared secret
};

struct JwtClaims {
  std::string user;                      // user_id, else sub; may be empty
  std::vector<std::string> permissions;  // permissions, else scopes, else the words of scope
  std::optional<absl::Time> issued_at;
  std::optional<absl::Time> not_before;
  std::optional<absl::Time> expires_at;
  std::vector<std::string> audience;
};

// A token taken apart, its signature not looked at.
struct JwtParts {
  std::string header_json;
  std::string claims_json;
  std::string algorithm;
  std::string key_id;
  JwtClaims claims;
};

// A token is at most this long; longer ones are refused unread.
inline constexpr size_t kMaxTokenBytes = 8192;

//   INVALID_ARGUMENT  not three base64url parts holding JSON objects
absl::StatusOr<JwtParts> DecodeJwt(absl::string_view token);

class JwtVerifier {
 public:
  // HS256 keys; `audience` is what a token's `aud`, if it has one, must contain.
  JwtVerifier(std::vector<JwtKey> keys, std::string audience);

  bool has_keys() const { return !keys_.empty(); }

  // Checks form, algorithm (exactly HS256), signature, exp, nbf, iat (no leeway) and aud.
  //   UNAUTHENTICATED  names the reason, never the token: "token expired"
  absl::StatusOr<JwtClaims> Verify(absl::string_view token, absl::Time now) const;

 private:
  std::vector<JwtKey> keys_;
  std::string audience_;
};

// Makes a token signed with HS256; times that are not set are left out.
std::string MintJwt(const JwtClaims& claims, const JwtKey& key);

}  // namespace fanwire
