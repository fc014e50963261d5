#include "control/routing/wanted_channels.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(WantedChannelsTest, AChannelIsListedOnceUntilTheLastLinkDoesNotWantIt) {
  WantedChannels wanted;
  EXPECT_THAT(wanted.List(), IsEmpty());
  wanted.Add("a");
  wanted.Add("a");
  wanted.Add("b");
  EXPECT_THAT(wanted.List(), UnorderedElementsAre("a", "b"));
  wanted.Remove("a");
  wanted.Remove("b");
  EXPECT_THAT(wanted.List(), UnorderedElementsAre("a"));
  wanted.Remove("a");
  wanted.Remove("never");
  EXPECT_THAT(wanted.List(), IsEmpty());
}

}  // namespace
}  // namespace fanwire::control
