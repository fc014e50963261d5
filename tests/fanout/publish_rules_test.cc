#include "fanout/publish_rules.h"

#include <string>

#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::WorkerService PublishingService() {
  v1::WorkerService service;
  service.set_name("excalidraw");
  service.add_admin_permissions("excalidraw:admin");
  v1::PublishRule* rule = service.add_publish_rules();
  rule->set_pattern("diagram:*");
  rule->add_events("diagram.updated");
  rule->add_any_of("excalidraw:write");
  rule->set_anonymous(true);
  rule = service.add_publish_rules();
  rule->set_pattern("cursor:*");
  rule->add_events("cursor.*");
  rule->set_skip_history(true);
  rule->mutable_conflate_interval()->set_nanos(50'000'000);
  rule->add_copies("diagram:*");
  rule->add_copies("cursors");
  rule->add_copies("cursor:*");
  rule = service.add_publish_rules();
  rule->set_pattern("**");
  rule->add_events("*");
  rule->add_any_of("all:write");
  v1::PublishEvent* event = service.add_publish_events();
  event->set_name("diagram.updated");
  event->add_channels("diagram:{diagram_id}");
  event = service.add_publish_events();
  event->set_name("cursor.moved");
  event->add_channels("collaboration:{room}");
  event->add_channels("cursor:{diagram_id}:{layer}");
  event->add_channels("cursor:{diagram_id}");
  return service;
}

class PublishRulesTest : public ::testing::Test {
 protected:
  static Identity Who(std::vector<std::string> permissions) {
    return {.user = "u", .permissions = std::move(permissions), .expires_at = std::nullopt};
  }

  v1::WorkerService service_ = PublishingService();
  PublishRules rules_{service_};
  TokenVerifier verifier_{service_};
};

TEST_F(PublishRulesTest, WithoutRulesNothingMayBePublished) {
  const PublishRules none{v1::WorkerService()};
  EXPECT_FALSE(none.any());
  EXPECT_EQ(none.Find("diagram:a", "diagram.updated"), nullptr);
  EXPECT_FALSE(none.IsPublication("diagram.updated"));
  EXPECT_EQ(none.ChannelOf("diagram.updated", R"({"diagram_id":"a"})"), "");
}

TEST_F(PublishRulesTest, TheFirstRuleHoldsWhosePatternAndEventsFit) {
  EXPECT_TRUE(rules_.any());
  EXPECT_EQ(rules_.Find("diagram:a", "diagram.updated")->pattern.text(), "diagram:*");
  EXPECT_EQ(rules_.Find("cursor:a", "cursor.left")->pattern.text(), "cursor:*");
  EXPECT_EQ(rules_.Find("diagram:a", "diagram.saved")->pattern.text(), "**");
  EXPECT_EQ(rules_.Find("diagram:a:b", "diagram.updated")->pattern.text(), "**");
  service_.mutable_publish_rules()->RemoveLast();
  const PublishRules fewer(service_);
  EXPECT_EQ(fewer.Find("diagram:a", "diagram.saved"), nullptr);
  EXPECT_EQ(fewer.Find("diagram:a:b", "diagram.updated"), nullptr);
  EXPECT_EQ(fewer.Find("diagram:a", "cursor.moved"), nullptr);
  EXPECT_EQ(fewer.Find("diagram:a", "diagram.update"), nullptr);
}

TEST_F(PublishRulesTest, ATokenNeedsOneOfTheRulesPermissionsOrAnAdministrators) {
  const PublishRules::Rule& rule = *rules_.Find("diagram:a", "diagram.updated");
  const auto may = [&](std::vector<std::string> permissions, bool loopback) {
    const Identity who = Who(std::move(permissions));
    return PublishRules::Allows(rule, verifier_, &who, loopback);
  };
  EXPECT_TRUE(may({"excalidraw:write"}, false));
  EXPECT_TRUE(may({"excalidraw:admin"}, false));
  EXPECT_TRUE(may({"admin"}, false));
  // Who has a token is not anonymous.
  EXPECT_FALSE(may({"excalidraw:read"}, true));
  EXPECT_FALSE(may({}, true));
  const PublishRules::Rule& admins = *rules_.Find("cursor:a", "cursor.moved");
  const Identity writer = Who({"excalidraw:write"}), admin = Who({"excalidraw:admin"});
  EXPECT_FALSE(PublishRules::Allows(admins, verifier_, &writer, true));
  EXPECT_TRUE(PublishRules::Allows(admins, verifier_, &admin, true));
}

TEST_F(PublishRulesTest, WithoutATokenTheRuleAndTheListenerMustAllowIt) {
  const PublishRules::Rule& anonymous = *rules_.Find("diagram:a", "diagram.updated");
  const PublishRules::Rule& others = *rules_.Find("cursor:a", "cursor.moved");
  EXPECT_TRUE(PublishRules::Allows(anonymous, verifier_, nullptr, /*loopback=*/true));
  EXPECT_FALSE(PublishRules::Allows(anonymous, verifier_, nullptr, /*loopback=*/false));
  EXPECT_FALSE(PublishRules::Allows(others, verifier_, nullptr, /*loopback=*/true));
}

TEST_F(PublishRulesTest, AnEventOfTheCatalogNamesItsChannelByItsData) {
  EXPECT_TRUE(rules_.IsPublication("cursor.moved"));
  EXPECT_FALSE(rules_.IsPublication("cursor.left"));
  EXPECT_EQ(rules_.ChannelOf("diagram.updated", R"({"diagram_id":"a"})"), "diagram:a");
  EXPECT_EQ(rules_.ChannelOf("diagram.updated", R"({"diagram_id":"diagram:a"})"), "diagram:a");
  EXPECT_EQ(rules_.ChannelOf("diagram.updated", R"({"diagram_id":18446744073709551616})"),
            "diagram:18446744073709551616");
  EXPECT_EQ(rules_.ChannelOf("diagram.updated", R"({"diagram_id":""})"), "");
  EXPECT_EQ(rules_.ChannelOf("diagram.updated", R"({"diagram_id":[1]})"), "");
  EXPECT_EQ(rules_.ChannelOf("diagram.updated", "{}"), "");
  EXPECT_EQ(rules_.ChannelOf("unknown", R"({"diagram_id":"a"})"), "");
}

TEST_F(PublishRulesTest, OfSeveralTemplatesTheFirstHoldsThatIsFilledInAndAllowed) {
  service_.mutable_publish_rules()->RemoveLast();
  const PublishRules rules(service_);
  EXPECT_EQ(rules.ChannelOf("cursor.moved", R"({"room":"r","diagram_id":"a"})"), "cursor:a");
  // The last rule allows the room.
  EXPECT_EQ(rules_.ChannelOf("cursor.moved", R"({"room":"r","diagram_id":"a"})"),
            "collaboration:r");
  EXPECT_EQ(rules_.ChannelOf("cursor.moved", R"({"layer":2,"diagram_id":"a"})"), "cursor:a:2");
}

TEST_F(PublishRulesTest, CopiesGoToTheSameNameUnderAnotherKind) {
  const PublishRules::Rule& rule = *rules_.Find("cursor:a", "cursor.moved");
  EXPECT_THAT(PublishRules::CopiesOf(rule, "cursor:a"), ElementsAre("diagram:a", "cursors"));
  EXPECT_THAT(PublishRules::CopiesOf(rule, "cursor:a:b"), ElementsAre("diagram:a:b", "cursors"));
  EXPECT_THAT(PublishRules::CopiesOf(rule, "cursors"), IsEmpty());
  const std::string longest = "cursor:" + std::string(kMaxChannelNameBytes - 7, 'x');
  EXPECT_THAT(PublishRules::CopiesOf(rule, longest), ElementsAre("cursors"));
}

}  // namespace
}  // namespace fanwire::fanout
