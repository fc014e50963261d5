#include "proto/event_name.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

TEST(EventNameTest, AnyCleanTextOfUpTo128BytesIsAName) {
  for (const std::string& name : {std::string("workflow.started"), std::string("x"),
                                  std::string("état changé"), std::string(128, 'e')}) {
    EXPECT_TRUE(CheckEventName(name).ok()) << name;
  }
}

TEST(EventNameTest, WhatNoEventCanBeCalledIsRefusedWithTheFault) {
  EXPECT_EQ(CheckEventName("").message(), "empty");
  EXPECT_EQ(CheckEventName(std::string(129, 'e')).message(), "129 bytes, at most 128 allowed");
  EXPECT_EQ(CheckEventName("a\tb").message(), "control character at byte 1");
  EXPECT_EQ(CheckEventName("a\x7f").message(), "control character at byte 1");
  EXPECT_EQ(CheckEventName("*").message(), "\"*\" has a '*', and no event's name can");
  EXPECT_FALSE(CheckEventName("workflow.*").ok());
}

TEST(EventNameTest, OnlyWhatTheServerSaysIsReserved) {
  for (const char* name : {"channel.skipped", "channel.unsubscribed", "server.draining",
                           "token.expiring", "presence.joined", "presence.left"}) {
    EXPECT_TRUE(IsReservedEventName(name)) << name;
    EXPECT_TRUE(CheckEventName(name).ok()) << name;  // a filter may name it
  }
  for (const char* name : {"session.created", "channel.skippe", "channel.skipped2", "user.joined",
                           "Channel.Skipped", ""}) {
    EXPECT_FALSE(IsReservedEventName(name)) << name;
  }
}

}  // namespace
}  // namespace fanwire
