#include "fanout/token_verifier.h"

#include "fanwire/v1/worker.pb.h"
#include "tests/testing/status.h"

namespace fanwire::fanout {

namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const absl::Time kVerifiedAt = absl::FromUnixSeconds(1'770'000'000);

v1::WorkerService Mahavishnu() {
  v1::WorkerService service;
  service.set_name("mahavishnu");
  auto* const key = service.add_keys();
  key->set_id("k1");
  key->set_secret("one");
  service.add_keys()->set_secret("two");
  const auto rule = [&](const char* prefix, const char* permission) {
    auto* const added = service.add_permissions();
    added->set_prefix(prefix);
    added->add_any_of(permission);
  };
  rule("workflow:", "workflow:read");
  rule("pool:", "pool:read");
  rule("anomal*", "anomaly:read");
  rule("metrics", "metrics:read");
  service.add_admin_permissions("mahavishnu:admin");
  return service;
}

Identity Having(std::vector<std::string> permissions) {
  return {.user = "u", .permissions = std::move(permissions), .expires_at = {}};
}

TEST(TokenVerifierTest, AGoodTokenSaysWhoAndWhat) {
  const TokenVerifier verifier(Mahavishnu());
  EXPECT_TRUE(verifier.has_keys());
  JwtClaims claims;
  claims.user = "alice";
  claims.permissions = {"workflow:read"};
  claims.expires_at = kVerifiedAt + absl::Hours(1);
  const auto identity = verifier.Verify(MintJwt(claims, {"k1", "one"}), kVerifiedAt);
  ASSERT_OK(identity);
  EXPECT_EQ(identity->user, "alice");
  EXPECT_THAT(identity->permissions, ElementsAre("workflow:read"));
  EXPECT_EQ(identity->expires_at, kVerifiedAt + absl::Hours(1));
  EXPECT_OK(verifier.Verify(MintJwt(claims, {"", "two"}), kVerifiedAt));
}

TEST(TokenVerifierTest, AnInfoThatIsTooLongDoesNotCount) {
  v1::WorkerService service = Mahavishnu();
  JwtClaims claims;
  claims.user = "u";
  claims.info = R"({"name":"Ana"})";
  const std::string token = MintJwt(claims, {"k1", "one"});
  service.mutable_limits()->set_presence_info_bytes(14);
  EXPECT_EQ(TokenVerifier(service).Verify(token, kVerifiedAt)->info, R"({"name":"Ana"})");
  service.mutable_limits()->set_presence_info_bytes(13);
  const auto identity = TokenVerifier(service).Verify(token, kVerifiedAt);
  ASSERT_OK(identity);
  EXPECT_EQ(identity->user, "u");
  EXPECT_EQ(identity->info, "");
}

TEST(TokenVerifierTest, BadExpiredAndForeignTokensAreRefused) {
  const TokenVerifier verifier(Mahavishnu());
  JwtClaims claims;
  claims.expires_at = kVerifiedAt;
  EXPECT_THAT(verifier.Verify(MintJwt(claims, {"k1", "one"}), kVerifiedAt),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expired")));
  claims.expires_at.reset();
  EXPECT_THAT(verifier.Verify(MintJwt(claims, {"k1", "three"}), kVerifiedAt),
              StatusIs(absl::StatusCode::kUnauthenticated, _));
  EXPECT_THAT(verifier.Verify("nonsense", kVerifiedAt),
              StatusIs(absl::StatusCode::kUnauthenticated, _));
  claims.audience = {"akosha"};
  EXPECT_THAT(verifier.Verify(MintJwt(claims, {"k1", "one"}), kVerifiedAt),
              StatusIs(absl::StatusCode::kUnauthenticated, _));
  claims.audience = {"akosha", "mahavishnu"};
  EXPECT_OK(verifier.Verify(MintJwt(claims, {"k1", "one"}), kVerifiedAt));
}

TEST(TokenVerifierTest, ATokenTakenWithinTheLeewayLastsAsLongAsThat) {
  v1::WorkerService service = Mahavishnu();
  service.mutable_leeway()->set_seconds(5);
  const TokenVerifier verifier(service);
  JwtClaims claims;
  claims.expires_at = kVerifiedAt - absl::Seconds(2);
  const auto late = verifier.Verify(MintJwt(claims, {"k1", "one"}), kVerifiedAt);
  ASSERT_OK(late);
  EXPECT_EQ(late->expires_at, kVerifiedAt + absl::Seconds(3));
  claims.expires_at = kVerifiedAt + absl::Seconds(2);
  EXPECT_EQ(verifier.Verify(MintJwt(claims, {"k1", "one"}), kVerifiedAt)->expires_at,
            kVerifiedAt + absl::Seconds(2));
  claims.expires_at = kVerifiedAt - absl::Seconds(5);
  EXPECT_THAT(verifier.Verify(MintJwt(claims, {"k1", "one"}), kVerifiedAt),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("claim exp")));
}

TEST(TokenVerifierTest, WithoutKeysThereIsNothingToCheckWith) {
  v1::WorkerService service;
  EXPECT_FALSE(TokenVerifier(service).has_keys());
}

TEST(TokenVerifierTest, PrefixesStarsAndExactNamesDecide) {
  const TokenVerifier verifier(Mahavishnu());
  const Identity workflow = Having({"workflow:read"});
  EXPECT_TRUE(verifier.MaySubscribe(workflow, "workflow:1"));
  EXPECT_FALSE(verifier.MaySubscribe(workflow, "pool:1"));
  EXPECT_FALSE(verifier.MaySubscribe(workflow, "workflow"));
  EXPECT_FALSE(verifier.MaySubscribe(workflow, "global"));
  EXPECT_TRUE(verifier.MaySubscribe(Having({"anomaly:read"}), "anomalies"));
  EXPECT_TRUE(verifier.MaySubscribe(Having({"metrics:read"}), "metrics"));
  EXPECT_FALSE(verifier.MaySubscribe(Having({"metrics:read"}), "metrics:1"));
  EXPECT_FALSE(verifier.MaySubscribe(Having({}), "workflow:1"));
}

TEST(TokenVerifierTest, AdminsMayEverything) {
  const TokenVerifier verifier(Mahavishnu());
  for (const char* admin : {"admin", "mahavishnu:admin"}) {
    EXPECT_TRUE(verifier.MaySubscribe(Having({admin}), "global"));
    EXPECT_TRUE(verifier.MaySubscribe(Having({admin}), "**"));
  }
  EXPECT_FALSE(verifier.MaySubscribe(Having({"akosha:admin"}), "global"));
}

TEST(TokenVerifierTest, PlainReadOpensAllReadRulesOnlyWhereConfigured) {
  v1::WorkerService service = Mahavishnu();
  EXPECT_FALSE(TokenVerifier(service).MaySubscribe(Having({"read"}), "workflow:1"));
  service.set_read_permission_reads_all(true);
  EXPECT_TRUE(TokenVerifier(service).MaySubscribe(Having({"read"}), "workflow:1"));
  EXPECT_FALSE(TokenVerifier(service).MaySubscribe(Having({"read"}), "global"));
}

TEST(TokenVerifierTest, AnAdministratorHasEveryPermission) {
  v1::WorkerService service = Mahavishnu();
  const TokenVerifier verifier(service);
  EXPECT_TRUE(verifier.HasOneOf(Having({"b"}), {"a", "b"}));
  EXPECT_FALSE(verifier.HasOneOf(Having({"c"}), {"a", "b"}));
  EXPECT_FALSE(verifier.HasOneOf(Having({"c"}), {}));
  EXPECT_TRUE(verifier.HasOneOf(Having({"admin"}), {}));
  EXPECT_TRUE(verifier.HasOneOf(Having({"mahavishnu:admin"}), {"a"}));
  EXPECT_FALSE(verifier.HasOneOf(Having({"read"}), {"state:read"}));
  service.set_read_permission_reads_all(true);
  EXPECT_TRUE(TokenVerifier(service).HasOneOf(Having({"read"}), {"state:read"}));
}

TEST(TokenVerifierTest, APatternNeedsEveryChannelThatItCanMatch) {
  const TokenVerifier verifier(Mahavishnu());
  const Identity workflow = Having({"workflow:read"});
  EXPECT_TRUE(verifier.MaySubscribe(workflow, "workflow:*"));
  EXPECT_TRUE(verifier.MaySubscribe(workflow, "workflow:**"));
  EXPECT_TRUE(verifier.MaySubscribe(workflow, "workflow:1:*"));
  EXPECT_FALSE(verifier.MaySubscribe(workflow, "*:1"));
  EXPECT_FALSE(verifier.MaySubscribe(workflow, "**"));
  // What no rule covers is refused, whatever the permissions.
  EXPECT_FALSE(verifier.MaySubscribe(
      Having({"workflow:read", "pool:read", "anomaly:read", "metrics:read"}), "**"));
}

TEST(TokenVerifierTest, AStricterRuleWithinAPatternMustAllowToo) {
  v1::WorkerService service = Mahavishnu();
  service.clear_permissions();
  auto* const secret = service.add_permissions();
  secret->set_prefix("workflow:secret:");
  secret->add_any_of("secret:read");
  auto* const all = service.add_permissions();
  all->set_prefix("workflow:");
  all->add_any_of("workflow:read");
  const TokenVerifier verifier(service);
  EXPECT_FALSE(verifier.MaySubscribe(Having({"workflow:read"}), "workflow:secret:1"));
  EXPECT_FALSE(verifier.MaySubscribe(Having({"workflow:read"}), "workflow:**"));
  EXPECT_TRUE(verifier.MaySubscribe(Having({"workflow:read", "secret:read"}), "workflow:**"));
  EXPECT_TRUE(verifier.MaySubscribe(Having({"workflow:read"}), "workflow:open:*"));
}

}  // namespace
}  // namespace fanwire::fanout
