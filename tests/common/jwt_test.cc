#include "common/jwt.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSecret[] = "a-secret-of-some-length";
const absl::Time kNow = absl::FromUnixSeconds(1'770'000'000);

JwtVerifier Verifier(std::vector<JwtKey> keys = {{"", kSecret}}) {
  return JwtVerifier(std::move(keys), "mahavishnu");
}

std::string Mint(JwtClaims claims, JwtKey key = {"", kSecret}) { return MintJwt(claims, key); }

TEST(JwtTest, TakesWhatPyjwtMakes) {
  // jwt.encode({"user_id": "u1", "permissions": ["workflow:read"], "iat": 1769999000,
  //             "exp": 1770003600}, "a-secret-of-some-length", "HS256")
  const std::string token =
      "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9."
      "eyJ1c2VyX2lkIjoidTEiLCJwZXJtaXNzaW9ucyI6WyJ3b3JrZmxvdzpyZWFkIl0sImlhdCI6MTc2OTk5"
      "OTAwMCwiZXhwIjoxNzcwMDAzNjAwfQ"
      ".KMH56gG98i13C-9vmL8RFz9T6khBTWxj14ws1yPPW2c";
  const absl::StatusOr<JwtClaims> claims = Verifier().Verify(token, kNow);
  ASSERT_OK(claims);
  EXPECT_EQ(claims->user, "u1");
  EXPECT_THAT(claims->permissions, ElementsAre("workflow:read"));
  EXPECT_EQ(claims->expires_at, absl::FromUnixSeconds(1'770'003'600));
}

// The example of RFC 7519, section 3.1, with its key from RFC 7515, appendix A.1.
TEST(JwtTest, TakesTheTokenOfTheRfc) {
  std::string key;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(
      "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
      &key));
  const std::string token =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
      "fQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
  EXPECT_OK(Verifier({{"", key}}).Verify(token, absl::FromUnixSeconds(1'300'000'000)));
  EXPECT_THAT(Verifier({{"", key}}).Verify(token, absl::FromUnixSeconds(1'300'819'380)),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expired")));
}

TEST(JwtTest, TimesHoldWithoutLeeway) {
  const auto verify = [](JwtClaims claims) { return Verifier().Verify(Mint(claims), kNow); };
  JwtClaims claims;
  claims.expires_at = kNow + absl::Seconds(1);
  EXPECT_OK(verify(claims));
  claims.expires_at = kNow;
  EXPECT_THAT(verify(claims), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expired")));
  claims = {};
  claims.not_before = kNow + absl::Seconds(1);
  EXPECT_THAT(verify(claims),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not valid yet")));
  claims = {};
  claims.issued_at = kNow + absl::Seconds(1);
  EXPECT_THAT(verify(claims),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("in the future")));
  claims.issued_at = kNow;
  EXPECT_OK(verify(claims));
}

TEST(JwtTest, TimesHoldWithinTheLeeway) {
  const JwtVerifier verifier({{"", kSecret}}, "mahavishnu", absl::Seconds(5));
  const auto verify = [&](JwtClaims claims) { return verifier.Verify(Mint(claims), kNow); };
  JwtClaims claims;
  claims.expires_at = kNow - absl::Seconds(4);
  EXPECT_OK(verify(claims));
  claims.expires_at = kNow - absl::Seconds(5);
  EXPECT_THAT(verify(claims), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("claim exp")));
  claims = {};
  claims.not_before = claims.issued_at = kNow + absl::Seconds(5);
  EXPECT_OK(verify(claims));
  claims.issued_at = kNow + absl::Seconds(6);
  EXPECT_THAT(verify(claims), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("claim iat")));
  claims.not_before = kNow + absl::Seconds(6);
  EXPECT_THAT(verify(claims), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("claim nbf")));
}

TEST(JwtTest, NoClaimIsRequired) {
  const absl::StatusOr<JwtClaims> claims = Verifier().Verify(Mint({}), kNow);
  ASSERT_OK(claims);
  EXPECT_EQ(claims->user, "");
  EXPECT_FALSE(claims->expires_at.has_value());
}

TEST(JwtTest, AudienceIfPresentMustNameUs) {
  JwtClaims claims;
  claims.audience = {"mahavishnu"};
  EXPECT_OK(Verifier().Verify(Mint(claims), kNow));
  claims.audience = {"akosha", "mahavishnu"};
  EXPECT_OK(Verifier().Verify(Mint(claims), kNow));
  claims.audience = {"akosha"};
  EXPECT_THAT(Verifier().Verify(Mint(claims), kNow),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("audience")));
}

std::string Signed(const std::string& header, const std::string& claims) {
  // MintJwt() makes only HS256 headers, so this test mints a token and replaces its header.
  const std::string part =
      absl::StrCat(absl::WebSafeBase64Escape(header), ".", absl::WebSafeBase64Escape(claims));
  return part;
}

TEST(JwtTest, OtherAlgorithmsAreRefused) {
  for (const char* algorithm : {"none", "HS384", "HS512", "RS256", "hs256", ""}) {
    const std::string token =
        absl::StrCat(Signed(absl::StrCat("{\"alg\":\"", algorithm, "\"}"), "{}"), ".AAAA");
    EXPECT_THAT(Verifier().Verify(token, kNow),
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("HS256")))
        << algorithm;
  }
}

TEST(JwtTest, AChangedTokenDoesNotHold) {
  const std::string token = Mint({.user = "u1",
                                  .permissions = {},
                                  .issued_at = {},
                                  .not_before = {},
                                  .expires_at = {},
                                  .audience = {}});
  const size_t dot = token.rfind('.');
  const std::string forged =
      absl::StrCat(token.substr(0, token.find('.')), ".",
                   absl::WebSafeBase64Escape("{\"user_id\":\"admin\"}"), token.substr(dot));
  EXPECT_THAT(Verifier().Verify(forged, kNow),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("signature")));
  EXPECT_THAT(Verifier().Verify(token.substr(0, dot + 1), kNow),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("signature")));
  EXPECT_THAT(Verifier({{"", "another-secret-here"}}).Verify(token, kNow),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("signature")));
}

TEST(JwtTest, GarbageIsNoTokenAndIsNotRepeated) {
  for (const std::string& bad :
       {std::string(), std::string("a"), std::string("a.b"), std::string("a.b.c.d"),
        std::string("!!!.!!!.!!!"), std::string("e30.e30"), std::string(9000, 'a'),
        absl::StrCat(absl::WebSafeBase64Escape("[]"), ".e30.AA"),
        absl::StrCat("e30.", absl::WebSafeBase64Escape("{\"exp\":\"soon\"}"), ".AA"),
        std::string("e30=.e30=.AA")}) {
    const absl::StatusOr<JwtClaims> claims = Verifier().Verify(bad, kNow);
    EXPECT_THAT(claims, StatusIs(absl::StatusCode::kUnauthenticated, Not(HasSubstr("!!!"))));
  }
}

TEST(JwtTest, KidChoosesTheKey) {
  const JwtVerifier verifier =
      Verifier({{"old", "old-secret-0123456"}, {"new", "new-secret-0123456"}});
  EXPECT_OK(verifier.Verify(Mint({}, {"new", "new-secret-0123456"}), kNow));
  EXPECT_OK(verifier.Verify(Mint({}, {"old", "old-secret-0123456"}), kNow));
  // A token may name one key and be signed with another.
  EXPECT_FALSE(verifier.Verify(Mint({}, {"old", "new-secret-0123456"}), kNow).ok());
  // A token without a `kid` is tried with all keys.
  EXPECT_OK(verifier.Verify(Mint({}, {"", "new-secret-0123456"}), kNow));
  // A token with an unknown `kid` is not tried with keys that have an id.
  EXPECT_FALSE(verifier.Verify(Mint({}, {"other", "new-secret-0123456"}), kNow).ok());
  EXPECT_FALSE(Verifier({}).has_keys());
}

TEST(JwtTest, ReadsSubScopesAndScope) {
  const auto decode = [](const std::string& claims) {
    return DecodeJwt(absl::StrCat(Signed("{\"alg\":\"HS256\",\"kid\":\"k\"}", claims), ".AA"));
  };
  const auto crackerjack = decode("{\"sub\":\"s\",\"scopes\":[\"read\",3,\"write\"]}");
  ASSERT_OK(crackerjack);
  EXPECT_EQ(crackerjack->claims.user, "s");
  EXPECT_EQ(crackerjack->key_id, "k");
  EXPECT_THAT(crackerjack->claims.permissions, ElementsAre("read", "write"));
  const auto oauth = decode("{\"scope\":\"a b\",\"aud\":\"x\"}");
  ASSERT_OK(oauth);
  EXPECT_THAT(oauth->claims.permissions, ElementsAre("a", "b"));
  EXPECT_THAT(oauth->claims.audience, ElementsAre("x"));
}

JwtParts PartsOf(const std::string& claims, const std::string& header = R"({"alg":"HS256"})") {
  const absl::StatusOr<JwtParts> parts = DecodeJwt(absl::StrCat(Signed(header, claims), ".AA"));
  EXPECT_OK(parts);
  return *parts;
}

TEST(JwtTest, InfoIsAnObjectAndKeepsItsDigits) {
  EXPECT_EQ(PartsOf(R"({"info": {"b" : 1.50, "a": [18446744073709551616]}})").claims.info,
            R"({"b":1.50,"a":[18446744073709551616]})");
  for (const char* other : {"null", "7", "\"text\"", "[1]"}) {
    const JwtParts parts = PartsOf(absl::StrCat(R"({"info":)", other, "}"));
    EXPECT_EQ(parts.claims.info, "") << other;
    EXPECT_OK(parts.fault);
  }
}

TEST(JwtTest, AnIntegerIsAUserOfThatName) {
  EXPECT_EQ(PartsOf(R"({"sub":42})").claims.user, "42");
  EXPECT_EQ(PartsOf(R"({"user_id":-7,"sub":"x"})").claims.user, "-7");
  EXPECT_EQ(PartsOf(R"({"user_id":12345678901234567890123})").claims.user,
            "12345678901234567890123");
  EXPECT_EQ(PartsOf(R"({"user_id":null,"sub":"x"})").claims.user, "x");
  EXPECT_EQ(PartsOf(R"({"user_id":"","sub":0})").claims.user, "0");
  for (const char* claims : {R"({"sub":42})", R"({"exp":1770000000.5})", R"({"iat":1.7e9})",
                             R"({"exp":253402300799})", R"({"exp":null,"aud":null})",
                             R"({"aud":["x",5]})", R"({"permissions":null,"scopes":["a"]})"}) {
    EXPECT_OK(PartsOf(claims).fault) << claims;
  }
  EXPECT_EQ(PartsOf(R"({"exp":1770000000.5})").claims.expires_at,
            absl::FromUnixMillis(1770000000500));
  EXPECT_THAT(PartsOf(R"({"permissions":null,"scopes":["a"]})").claims.permissions,
              ElementsAre("a"));
}

TEST(JwtTest, EveryRefusalNamesTheClaim) {
  const struct {
    const char* claims;
    const char* message;
  } cases[] = {
      {R"({"sub":1.5})",
       "claim sub: a number with a fraction or an exponent; a text or a whole number is wanted"},
      {R"({"sub":true})", "claim sub: true or false; a text or a whole number is wanted"},
      {R"({"user_id":["a"],"sub":"x"})",
       "claim user_id: a list; a text or a whole number is wanted"},
      {R"({"user_id":"a","sub":{}})", "claim sub: an object; a text or a whole number is wanted"},
      {R"({"exp":"1770000000"})", "claim exp: a text; seconds since 1970 are wanted"},
      {R"({"nbf":[]})", "claim nbf: a list; seconds since 1970 are wanted"},
      {R"({"iat":false})", "claim iat: true or false; seconds since 1970 are wanted"},
      {R"({"exp":1770000000000})",
       "claim exp: 1770000000000 is beyond the year 9999: seconds since 1970 are wanted, not "
       "milliseconds"},
      {R"({"exp":253402300800})",
       "claim exp: 253402300800 is beyond the year 9999: seconds since 1970 are wanted, not "
       "milliseconds"},
      {R"({"iat":99999999999999999999999})",
       "claim iat: 99999999999999999999999 is beyond the year 9999: seconds since 1970 are wanted, "
       "not milliseconds"},
      {R"({"exp":1e400})",
       "claim exp: 1e400 is beyond the year 9999: seconds since 1970 are wanted, not milliseconds"},
      {R"({"sub":1e400})",
       "claim sub: a number with a fraction or an exponent; a text or a whole number is wanted"},
      {R"({"nbf":-1e300})", "claim nbf: is before the year 1"},
      {R"({"aud":[]})", "claim aud: an empty list: the token is for nobody"},
      {R"({"aud":[5]})", "claim aud: a list without a text; a text or a list of texts is wanted"},
      {R"({"aud":5})", "claim aud: a number; a text or a list of texts is wanted"},
  };
  for (const auto& [claims, message] : cases) {
    EXPECT_EQ(PartsOf(claims).fault.message(), message);
    const std::string token = absl::StrCat(Signed(R"({"alg":"HS256"})", claims), ".AA");
    EXPECT_THAT(Verifier().Verify(token, kNow),
                StatusIs(absl::StatusCode::kUnauthenticated, message));
  }
}

TEST(JwtTest, WhatIsCriticalAndUnknownIsRefused) {
  for (const char* header :
       {R"({"alg":"HS256","crit":["exp2"],"exp2":1})", R"({"alg":"HS256","crit":["alg"]})",
        R"({"alg":"HS256","crit":["b64"],"b64":false})", R"({"alg":"HS256","crit":[]})",
        R"({"alg":"HS256","crit":null})", R"({"alg":"HS256","crit":"exp"})",
        R"({"alg":"HS256","crit":[7]})"}) {
    EXPECT_THAT(PartsOf("{}", header).fault,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("header crit: ")))
        << header;
  }
  EXPECT_EQ(PartsOf("{}", R"({"alg":"HS256","crit":["exp2"]})").fault.message(),
            "header crit: \"exp2\" is not known here");
}

TEST(JwtTest, EveryRefusalNamesThePart) {
  const std::string header = absl::WebSafeBase64Escape(R"({"alg":"HS256"})");
  const auto claims = [&](const std::string& text) {
    return absl::StrCat(header, ".", absl::WebSafeBase64Escape(text), ".AA");
  };
  const std::pair<std::string, const char*> cases[] = {
      {"", "token: has 1 part; a JSON web token is header.claims.signature"},
      {"a.b.c.d.e", "token: has 5 parts; a JSON web token is header.claims.signature"},
      {std::string(8193, 'a'), "token: 8193 bytes, at most 8192 are accepted"},
      {"e30=.e30.AA",
       "token header: padded with '=', which base64url in a token is not (RFC 7515 section 2)"},
      {header + ".e30=.AA",
       "token claims: padded with '=', which base64url in a token is not (RFC 7515 section 2)"},
      {header + ".e30.AA==",
       "token signature: padded with '=', which base64url in a token is not (RFC 7515 section 2)"},
      {header + ".e3+0.AA", "token claims: character 3 is not base64url"},
      {header + ".e30ab.AA", "token claims: base64url of 5 characters is cut off"},
      {claims("[]"), "token claims: not a JSON object"},
      {claims("{\"exp\""), "token claims: not a JSON object"},
      {claims("{}"), "token signature: made with none of the keys"},
  };
  for (const auto& [token, message] : cases) {
    EXPECT_THAT(Verifier().Verify(token, kNow),
                StatusIs(absl::StatusCode::kUnauthenticated, message));
  }
  EXPECT_THAT(Verifier({}).Verify(claims("{}"), kNow),
              StatusIs(absl::StatusCode::kUnauthenticated,
                       "token signature: there is no key to check it with"));
  EXPECT_THAT(Verifier({{"k1", kSecret}}).Verify(Mint({}, {"k1", "another-secret-here"}), kNow),
              StatusIs(absl::StatusCode::kUnauthenticated,
                       "token signature: not made with the key \"k1\""));
}

}  // namespace
}  // namespace fanwire
