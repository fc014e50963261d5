// Which user agents are kept, and for how long.
#include "fanout/user_agents.h"

#include <string>

#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

TEST(UserAgentsTest, SessionsWithOneTextShareIt) {
  UserAgents agents;
  const UserAgents::Ref first = agents.Keep("curl/8.1");
  const UserAgents::Ref second = agents.Keep("curl/8.1");
  const UserAgents::Ref other = agents.Keep("curl/8.2");
  EXPECT_EQ(first, second);
  EXPECT_EQ(first->text(), "curl/8.1");
  EXPECT_EQ(other->text(), "curl/8.2");
  EXPECT_EQ(agents.size(), 2u);
}

TEST(UserAgentsTest, ATextGoesWithItsLastSession) {
  UserAgents agents;
  {
    const UserAgents::Ref first = agents.Keep("curl/8.1");
    { const UserAgents::Ref second = agents.Keep("curl/8.1"); }
    EXPECT_EQ(agents.size(), 1u);
  }
  EXPECT_EQ(agents.size(), 0u);
  for (int i = 0; i < 5000; ++i) {
    EXPECT_EQ(agents.Keep("agent-" + std::to_string(i))->text(), "agent-" + std::to_string(i));
  }
  EXPECT_EQ(agents.size(), 0u);
}

TEST(UserAgentsTest, AnEmptyHeaderKeepsNothing) {
  UserAgents agents;
  EXPECT_FALSE(agents.Keep(""));
  EXPECT_EQ(agents.size(), 0u);
}

TEST(UserAgentsTest, ATextIsUtf8AndCutAtTheEndOfACharacter) {
  UserAgents agents;
  EXPECT_EQ(agents.Keep("caf\xe9")->text(), "caf\xef\xbf\xbd");
  const std::string before(UserAgents::kMaxBytes - 1, 'x');
  EXPECT_EQ(agents.Keep(before + "\xc3\xa9")->text(), before);
}

}  // namespace

}  // namespace fanwire::fanout
