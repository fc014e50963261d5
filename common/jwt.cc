#include "common/jwt.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/json_parse.h"
#include "common/json_text.h"
#include "common/time_format.h"

namespace fanwire {
namespace {

using Json = nlohmann::json;

absl::Status Fault(absl::string_view what, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", why));
}

absl::Status Unauthenticated(absl::string_view what, absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat(what, ": ", why));
}

// `text` for a message: in quotes, cut, and without characters that could break a log line.
std::string Quoted(absl::string_view text) {
  constexpr size_t kShown = 40;
  std::string shown = "\"";
  for (const char c : text.substr(0, kShown)) {
    shown += c < 0x20 || c == 0x7f || c == '"' ? '?' : c;
  }
  return shown + (text.size() > kShown ? "…\"" : "\"");
}

// Decodes base64url as RFC 7515 demands: without padding, and with no other alphabet.  `part` is
// its name in error messages.
absl::Status DecodeBase64Url(absl::string_view part, absl::string_view text, std::string* out) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool allowed = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                         (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (allowed) continue;
    return Fault(part, c == '=' ? std::string("padded with '=', which base64url in a token is not "
                                              "(RFC 7515 section 2)")
                                : absl::StrCat("character ", i + 1, " is not base64url"));
  }
  if (text.size() % 4 == 1 || !absl::WebSafeBase64Unescape(text, out)) {
    return Fault(part, absl::StrCat("base64url of ", text.size(), " characters is cut off"));
  }
  return absl::OkStatus();
}

std::string EncodeBase64Url(absl::string_view bytes) { return absl::WebSafeBase64Escape(bytes); }

std::string HmacSha256(absl::string_view key, absl::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &size);
  return std::string(reinterpret_cast<char*>(digest), size);
}

// Decodes a part of a token to its text, and that to a JSON object.
absl::Status DecodeObject(absl::string_view part, absl::string_view encoded, std::string* text,
                          Json* out) {
  if (absl::Status status = DecodeBase64Url(part, encoded, text); !status.ok()) return status;
  *out = ParseJson(*text);
  if (out->is_object()) return absl::OkStatus();
  return Fault(part, "not a JSON object");
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

// "a text", for messages.
absl::string_view TypeName(const Json& value) {
  switch (value.type()) {
    case Json::value_t::string:
      return "a text";
    case Json::value_t::boolean:
      return "true or false";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::null:
      return "null";
    default:
      return "a number";
  }
}

// Returns the name of a claim in error messages.
std::string Claim(absl::string_view key) { return absl::StrCat("claim ", key); }

// Reads one object of claims.
class ClaimReader {
 public:
  // `text` is the JSON text of `object`.  It has all digits of the numbers.
  ClaimReader(const Json& object, absl::string_view text) : object_(object), text_(text) {}

  // Reads what can be read, and returns the first fault.
  absl::Status Read(JwtClaims* claims) const {
    std::string subject;
    absl::Status status = ReadUser("user_id", &claims->user);
    status.Update(ReadUser("sub", &subject));
    if (claims->user.empty()) claims->user = std::move(subject);
    ReadPermissions(&claims->permissions);
    status.Update(ReadTime("exp", &claims->expires_at));
    status.Update(ReadTime("nbf", &claims->not_before));
    status.Update(ReadTime("iat", &claims->issued_at));
    status.Update(ReadAudience(&claims->audience));
    if (const Json* const info = Find("info"); info != nullptr && info->is_object()) {
      claims->info = CompactJson(FindJsonMember(text_, "info"));
    }
    return status;
  }

 private:
  // Null if the claim is missing or JSON's null.
  const Json* Find(const char* key) const {
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  absl::Status ReadUser(const char* key, std::string* user) const {
    const Json* const value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    const absl::string_view digits = FindJsonMember(text_, key);
    if (value->is_string()) {
      *user = value->get<std::string>();
    } else if (value->is_number_integer()) {
      *user = value->dump();
    } else if (value->is_number() && IsWholeJsonNumber(digits)) {
      *user = std::string(digits);  // beyond 64 bits
    } else {
      return Fault(Claim(key), absl::StrCat(value->is_number() ? "a number with a fraction or an "
                                                                 "exponent"
                                                               : TypeName(*value),
                                            "; a text or a whole number is wanted"));
    }
    return absl::OkStatus();
  }

  void ReadPermissions(std::vector<std::string>* permissions) const {
    for (const char* key : {"permissions", "scopes"}) {
      if (const Json* const value = Find(key); value != nullptr) {
        *permissions = TextsOf(*value);
        return;
      }
    }
    for (const absl::string_view word :
         absl::StrSplit(TextOf(object_, "scope"), ' ', absl::SkipEmpty())) {
      permissions->emplace_back(word);
    }
  }

  absl::Status ReadTime(const char* key, std::optional<absl::Time>* time) const {
    constexpr double kFirstSecond = -62135596800.0;  // of the year 1
    const Json* const value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_number()) {
      return Fault(Claim(key), absl::StrCat(TypeName(*value), "; seconds since 1970 are wanted"));
    }
    const auto seconds = value->get<double>();
    if (seconds > static_cast<double>(kMaxJwtSeconds)) {
      return Fault(Claim(key), absl::StrCat(FindJsonMember(text_, key).substr(0, 40),
                                            " is beyond the year 9999: seconds since 1970 are "
                                            "wanted, not milliseconds"));
    }
    if (seconds < kFirstSecond) return Fault(Claim(key), "is before the year 1");
    *time = absl::UnixEpoch() + absl::Seconds(seconds);
    return absl::OkStatus();
  }

  absl::Status ReadAudience(std::vector<std::string>* audience) const {
    const Json* const value = Find("aud");
    if (value == nullptr) return absl::OkStatus();
    if (value->is_array() && value->empty()) {
      return Fault(Claim("aud"), "an empty list: the token is for nobody");
    }
    *audience = TextsOf(*value);
    if (!audience->empty()) return absl::OkStatus();
    return Fault(Claim("aud"),
                 absl::StrCat(value->is_array() ? "a list without a text" : TypeName(*value),
                              "; a text or a list of texts is wanted"));
  }

  const Json& object_;
  const absl::string_view text_;
};

// No extension of the header is known, so none may be critical (RFC 7515 section 4.1.11).
absl::Status CheckCritical(const Json& header) {
  const auto critical = header.find("crit");
  if (critical == header.end()) return absl::OkStatus();
  for (const std::string& name : TextsOf(*critical)) {
    return Fault("header crit", absl::StrCat(Quoted(name), " is not known here"));
  }
  return Fault("header crit", "a list of names is wanted");
}

struct Split {
  absl::string_view header, claims, signature, signed_part;
};

absl::Status SplitToken(absl::string_view token, Split* split) {
  if (token.size() > kMaxTokenBytes) {
    return Fault("token",
                 absl::StrCat(token.size(), " bytes, at most ", kMaxTokenBytes, " are accepted"));
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(token, '.');
  if (parts.size() != 3) {
    return Fault("token", absl::StrCat("has ", parts.size(), parts.size() == 1 ? " part" : " parts",
                                       "; a JSON web token is header.claims.signature"));
  }
  split->header = parts[0];
  split->claims = parts[1];
  split->signature = parts[2];
  split->signed_part = token.substr(0, token.size() - parts[2].size() - 1);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<JwtParts> DecodeJwt(absl::string_view token) {
  Split split;
  JwtParts parts;
  Json header, claims;
  if (absl::Status status = SplitToken(token, &split); !status.ok()) return status;
  absl::Status status = DecodeObject("token header", split.header, &parts.header_json, &header);
  status.Update(DecodeObject("token claims", split.claims, &parts.claims_json, &claims));
  if (!status.ok()) return status;
  parts.algorithm = TextOf(header, "alg");
  parts.key_id = TextOf(header, "kid");
  parts.fault = CheckCritical(header);
  const absl::Status read = ClaimReader(claims, parts.claims_json).Read(&parts.claims);
  if (parts.fault.ok()) parts.fault = read;
  return parts;
}

absl::Status CheckJwtTimes(const JwtClaims& claims, absl::Time now, absl::Duration leeway) {
  if (claims.expires_at && *claims.expires_at + leeway <= now) {
    return Unauthenticated(
        Claim("exp"), absl::StrCat("the token expired at ", FormatRfc3339(*claims.expires_at)));
  }
  if (claims.not_before && *claims.not_before - leeway > now) {
    return Unauthenticated(Claim("nbf"), absl::StrCat("the token is not valid yet, but from ",
                                                      FormatRfc3339(*claims.not_before), " on"));
  }
  if (claims.issued_at && *claims.issued_at - leeway > now) {
    return Unauthenticated(Claim("iat"), absl::StrCat("the token was issued in the future, at ",
                                                      FormatRfc3339(*claims.issued_at)));
  }
  return absl::OkStatus();
}

JwtVerifier::JwtVerifier(std::vector<JwtKey> keys, std::string audience, absl::Duration leeway)
    : keys_(std::move(keys)), audience_(std::move(audience)), leeway_(leeway) {}

absl::Status JwtVerifier::CheckSignature(absl::string_view token, const JwtParts& parts) const {
  constexpr absl::string_view kSignature = "token signature";
  Split split;
  std::string signature;
  absl::Status status = SplitToken(token, &split);
  if (status.ok()) status = DecodeBase64Url(kSignature, split.signature, &signature);
  if (!status.ok()) return absl::UnauthenticatedError(status.message());
  if (keys_.empty()) return Unauthenticated(kSignature, "there is no key to check it with");
  // If the token names a known key, only that key is tried.
  bool named = false;
  for (const JwtKey& key : keys_) named |= !parts.key_id.empty() && key.id == parts.key_id;
  bool holds = false;
  for (const JwtKey& key : keys_) {
    if (named ? key.id != parts.key_id : !key.id.empty() && !parts.key_id.empty()) continue;
    const std::string expected = HmacSha256(key.secret, split.signed_part);
    holds |= signature.size() == expected.size() &&
             CRYPTO_memcmp(signature.data(), expected.data(), expected.size()) == 0;
  }
  if (holds) return absl::OkStatus();
  return Unauthenticated(kSignature,
                         named ? absl::StrCat("not made with the key ", Quoted(parts.key_id))
                               : std::string("made with none of the keys"));
}

absl::StatusOr<JwtClaims> JwtVerifier::Verify(absl::string_view token, absl::Time now) const {
  absl::StatusOr<JwtParts> parts = DecodeJwt(token);
  if (!parts.ok()) return absl::UnauthenticatedError(parts.status().message());
  if (parts->algorithm != "HS256") {
    return Unauthenticated("header alg",
                           absl::StrCat(Quoted(parts->algorithm), "; only HS256 is accepted"));
  }
  if (!parts->fault.ok()) return absl::UnauthenticatedError(parts->fault.message());
  if (absl::Status status = CheckSignature(token, *parts); !status.ok()) return status;
  const JwtClaims& claims = parts->claims;
  if (absl::Status status = CheckJwtTimes(claims, now, leeway_); !status.ok()) return status;
  if (!claims.audience.empty() && std::find(claims.audience.begin(), claims.audience.end(),
                                            audience_) == claims.audience.end()) {
    return Unauthenticated(Claim("aud"), absl::StrCat("the token is for another audience, ",
                                                      Quoted(absl::StrJoin(claims.audience, ", ")),
                                                      ", not for ", Quoted(audience_)));
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
  if (!claims.info.empty()) body["info"] = ParseOrderedJson(claims.info);
  if (claims.audience.size() == 1) body["aud"] = claims.audience[0];
  if (claims.audience.size() > 1) body["aud"] = claims.audience;
  const auto replace = nlohmann::ordered_json::error_handler_t::replace;
  const std::string signed_part =
      absl::StrCat(EncodeBase64Url(header.dump(-1, ' ', false, replace)), ".",
                   EncodeBase64Url(body.dump(-1, ' ', false, replace)));
  return absl::StrCat(signed_part, ".", EncodeBase64Url(HmacSha256(key.secret, signed_part)));
}

}  // namespace fanwire
