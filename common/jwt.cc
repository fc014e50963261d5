#include "common/jwt.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/json_parse.h"

namespace fanwire {
namespace {

using Json = nlohmann::json;

// Decodes base64url as RFC 7515 demands: without padding, and with no other alphabet.
bool DecodeBase64Url(absl::string_view text, std::string* out) {
  for (const char c : text) {
    const bool allowed = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                         (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!allowed) return false;
  }
  return text.size() % 4 != 1 && absl::WebSafeBase64Unescape(text, out);
}

std::string EncodeBase64Url(absl::string_view bytes) { return absl::WebSafeBase64Escape(bytes); }

std::string HmacSha256(absl::string_view key, absl::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &size);
  return std::string(reinterpret_cast<char*>(digest), size);
}

bool ParseObject(const std::string& text, Json* out) {
  *out = ParseJson(text);
  return out->is_object();
}

std::string TextOf(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::vector<std::string> TextsOf(const Json& value) {
  std::vector<std::string> texts;
  if (value.is_string()) texts.push_back(value.get<std::string>());
  if (value.is_array()) {
    for (const Json& item : value) {
      if (item.is_string()) texts.push_back(item.get<std::string>());
    }
  }
  return texts;
}

// Returns false if the claim exists but is not a number that can be a time.
bool TimeOf(const Json& object, const char* key, std::optional<absl::Time>* out) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return true;
  if (!it->is_number()) return false;
  const double seconds = it->get<double>();
  if (!std::isfinite(seconds) || std::abs(seconds) > 1e12) return false;
  *out = absl::FromUnixMicros(static_cast<int64_t>(seconds * 1e6));
  return true;
}

bool ClaimsOf(const Json& object, JwtClaims* claims) {
  claims->user = TextOf(object, "user_id");
  if (claims->user.empty()) claims->user = TextOf(object, "sub");
  if (const auto it = object.find("permissions"); it != object.end()) {
    claims->permissions = TextsOf(*it);
  } else if (const auto scopes = object.find("scopes"); scopes != object.end()) {
    claims->permissions = TextsOf(*scopes);
  } else {
    for (const absl::string_view word :
         absl::StrSplit(TextOf(object, "scope"), ' ', absl::SkipEmpty())) {
      claims->permissions.emplace_back(word);
    }
  }
  if (const auto it = object.find("aud"); it != object.end() && !it->is_null()) {
    claims->audience = TextsOf(*it);
    if (claims->audience.empty()) return false;
  }
  return TimeOf(object, "exp", &claims->expires_at) && TimeOf(object, "nbf", &claims->not_before) &&
         TimeOf(object, "iat", &claims->issued_at);
}

struct Split {
  absl::string_view header, claims, signature, signed_part;
};

bool SplitToken(absl::string_view token, Split* split) {
  if (token.size() > kMaxTokenBytes) return false;
  const size_t first = token.find('.');
  if (first == absl::string_view::npos) return false;
  const size_t second = token.find('.', first + 1);
  if (second == absl::string_view::npos) return false;
  if (token.find('.', second + 1) != absl::string_view::npos) return false;
  split->header = token.substr(0, first);
  split->claims = token.substr(first + 1, second - first - 1);
  split->signature = token.substr(second + 1);
  split->signed_part = token.substr(0, second);
  return true;
}

}  // namespace

absl::StatusOr<JwtParts> DecodeJwt(absl::string_view token) {
  Split split;
  JwtParts parts;
  Json header, claims;
  if (!SplitToken(token, &split) || !DecodeBase64Url(split.header, &parts.header_json) ||
      !DecodeBase64Url(split.claims, &parts.claims_json) ||
      !ParseObject(parts.header_json, &header) || !ParseObject(parts.claims_json, &claims) ||
      !ClaimsOf(claims, &parts.claims)) {
    return absl::InvalidArgumentError("not a JSON web token");
  }
  parts.algorithm = TextOf(header, "alg");
  parts.key_id = TextOf(header, "kid");
  return parts;
}

JwtVerifier::JwtVerifier(std::vector<JwtKey> keys, std::string audience)
    : keys_(std::move(keys)), audience_(std::move(audience)) {}

absl::StatusOr<JwtClaims> JwtVerifier::Verify(absl::string_view token, absl::Time now) const {
  absl::StatusOr<JwtParts> parts = DecodeJwt(token);
  if (!parts.ok()) return absl::UnauthenticatedError(parts.status().message());
  if (parts->algorithm != "HS256") {
    return absl::UnauthenticatedError("token algorithm is not HS256");
  }
  Split split;
  std::string signature;
  if (!SplitToken(token, &split) || !DecodeBase64Url(split.signature, &signature)) {
    return absl::UnauthenticatedError("not a JSON web token");
  }
  // If the token names a known key, only that key is tried.
  bool named = false;
  for (const JwtKey& key : keys_) named |= !parts->key_id.empty() && key.id == parts->key_id;
  bool holds = false;
  for (const JwtKey& key : keys_) {
    if (named ? key.id != parts->key_id : !key.id.empty() && !parts->key_id.empty()) continue;
    const std::string expected = HmacSha256(key.secret, split.signed_part);
    holds |= signature.size() == expected.size() &&
             CRYPTO_memcmp(signature.data(), expected.data(), expected.size()) == 0;
  }
  if (!holds) return absl::UnauthenticatedError("token signature does not hold");
  const JwtClaims& claims = parts->claims;
  if (claims.expires_at && *claims.expires_at <= now) {
    return absl::UnauthenticatedError("token expired");
  }
  if (claims.not_before && *claims.not_before > now) {
    return absl::UnauthenticatedError("token not valid yet");
  }
  if (claims.issued_at && *claims.issued_at > now) {
    return absl::UnauthenticatedError("token issued in the future");
  }
  if (!claims.audience.empty()) {
    bool meant = false;
    for (const std::string& audience : claims.audience) meant |= audience == audience_;
    if (!meant) return absl::UnauthenticatedError("token is for another audience");
  }
  return std::move(parts->claims);
}

std::string MintJwt(const JwtClaims& claims, const JwtKey& key) {
  nlohmann::ordered_json header = {{"alg", "HS256"}, {"typ", "JWT"}};
  if (!key.id.empty()) header["kid"] = key.id;
  nlohmann::ordered_json body = nlohmann::ordered_json::object();
  if (!claims.user.empty()) body["user_id"] = claims.user;
  body["permissions"] = claims.permissions;
  if (claims.issued_at) body["iat"] = absl::ToUnixSeconds(*claims.issued_at);
  if (claims.not_before) body["nbf"] = absl::ToUnixSeconds(*claims.not_before);
  if (claims.expires_at) body["exp"] = absl::ToUnixSeconds(*claims.expires_at);
  if (claims.audience.size() == 1) body["aud"] = claims.audience[0];
  if (claims.audience.size() > 1) body["aud"] = claims.audience;
  const auto replace = nlohmann::ordered_json::error_handler_t::replace;
  const std::string signed_part =
      absl::StrCat(EncodeBase64Url(header.dump(-1, ' ', false, replace)), ".",
                   EncodeBase64Url(body.dump(-1, ' ', false, replace)));
  return absl::StrCat(signed_part, ".", EncodeBase64Url(HmacSha256(key.secret, signed_part)));
}

}  // namespace fanwire
