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

}  // namespace
}  // namespace fanwire
