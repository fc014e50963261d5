#include "fanout/subscription_set.h"

#include <memory>
#include <string>
#include <vector>

#include "fanout/service.h"
#include "fanout/session.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/channel_name.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class SubscriptionSetTest : public ::testing::Test {
 protected:
  SubscriptionSetTest() : service_(std::make_shared<ServiceSettings>(v1::WorkerService())) {}
  ~SubscriptionSetTest() override {
    while (!set_.empty()) set_.Remove(&set_.back());
    EXPECT_EQ(service_.counts().subscriptions, 0);
  }

  Channel* Named(absl::string_view name) {
    return service_.FindOrMakeChannel(Dialect::kCommon, name);
  }
  PatternTable* Pattern(absl::string_view text) {
    return service_.FindOrMakePattern(Dialect::kCommon, *ChannelPattern::Parse(text));
  }
  static std::shared_ptr<const EventFilter> Only(const char* event) {
    return std::make_shared<EventFilter>(EventFilter{event});
  }

  void Add(Channel* channel, std::shared_ptr<const EventFilter> filter = nullptr) {
    set_.Add(session(), kFd, channel, nullptr, std::move(filter));
  }
  void Add(PatternTable* pattern, std::shared_ptr<const EventFilter> filter = nullptr) {
    set_.Add(session(), kFd, nullptr, pattern, std::move(filter));
  }
  void Remove(Channel* channel) { set_.Remove(set_.Find(channel, nullptr)); }
  void Remove(PatternTable* pattern) { set_.Remove(set_.Find(nullptr, pattern)); }

  // The flags of the session's only entry in a table.
  static int Flags(const SubscriberTable& table) {
    EXPECT_EQ(table.entries().size(), 1u);
    return table.entries()[0].by_session;
  }
  // The events that the subscription's channel brings: "*" for every event, nothing if another
  // subscription brings them.
  std::vector<std::string> Brought(Channel* channel, PatternTable* pattern = nullptr) {
    const SubscriberTable& table = pattern != nullptr ? pattern->subscribers : channel->subscribers;
    SubscriptionSet::Filters filters;
    if (!set_.Brings(table.entries()[0].subscription, channel, pattern, &filters)) return {};
    if (filters.empty()) return {"*"};
    std::vector<std::string> events;
    for (const EventFilter* filter : filters)
      events.insert(events.end(), filter->begin(), filter->end());
    return events;
  }

  // Tables only compare it: none of them has two entries, of which one might move.
  Session* session() { return reinterpret_cast<Session*>(session_); }

  static constexpr int kFd = 5;
  alignas(Session) char session_[sizeof(Session)] = {};
  Service service_;
  SubscriptionSet set_;
};

TEST_F(SubscriptionSetTest, WhatWasAddedIsFoundAndInItsTable) {
  Channel* const a = Named("a");
  PatternTable* const w = Pattern("w:*");
  EXPECT_EQ(set_.Find(a, nullptr), nullptr);
  EXPECT_EQ(set_.Find(nullptr, nullptr), nullptr);
  Add(a);
  Add(w);
  ASSERT_NE(set_.Find(a, nullptr), nullptr);
  EXPECT_EQ(set_.Find(a, nullptr)->name(), "a");
  ASSERT_NE(set_.Find(nullptr, w), nullptr);
  EXPECT_EQ(set_.Find(nullptr, w)->name(), "w:*");
  EXPECT_EQ(a->subscribers.entries()[0].session, session());
  EXPECT_EQ(a->subscribers.entries()[0].fd, kFd);
  EXPECT_EQ(w->subscribers.entries()[0].subscription, 1u);
  EXPECT_EQ(service_.counts().subscriptions, 2);
  EXPECT_TRUE(set_.has_patterns());
}

TEST_F(SubscriptionSetTest, WhenOneIsRemovedTheLastTakesItsNumber) {
  Channel* const a = Named("a");
  Channel* const b = Named("b");
  Channel* const c = Named("c");
  for (Channel* channel : {a, b, c}) Add(channel);
  Remove(a);
  EXPECT_EQ(set_.size(), 2u);
  EXPECT_TRUE(a->subscribers.empty());
  EXPECT_EQ(c->subscribers.entries()[0].subscription, 0u);
  EXPECT_EQ(set_.all()[0].channel, c);
  EXPECT_EQ(set_.Find(a, nullptr), nullptr);
}

TEST_F(SubscriptionSetTest, ASessionOnOneChannelIsNotAsked) {
  Channel* const a = Named("a");
  Add(a);
  EXPECT_EQ(Flags(a->subscribers), 0);
}

TEST_F(SubscriptionSetTest, ASessionOnSeveralChannelsGathersUntilOneIsLeft) {
  Channel* const a = Named("a");
  Channel* const b = Named("b");
  Add(a);
  Add(b);
  EXPECT_EQ(Flags(a->subscribers), kSessionGathers);
  EXPECT_EQ(Flags(b->subscribers), kSessionGathers);
  Remove(a);
  EXPECT_EQ(Flags(b->subscribers), 0);
}

TEST_F(SubscriptionSetTest, ASessionWithAFilterDecides) {
  Channel* const a = Named("a");
  Add(a, Only("x"));
  EXPECT_EQ(Flags(a->subscribers), kSessionDecides);
  EXPECT_THAT(Brought(a), ElementsAre("x"));
  set_.SetFilter(set_.Find(a, nullptr), nullptr);
  EXPECT_EQ(Flags(a->subscribers), 0);
  EXPECT_THAT(Brought(a), ElementsAre("*"));
}

TEST_F(SubscriptionSetTest, WithAPatternBesideEverySubscriptionDecides) {
  Channel* const a = Named("a");
  PatternTable* const w = Pattern("w:*");
  Add(w);
  EXPECT_EQ(Flags(w->subscribers), kSessionGathers);  // alone it needs no decision
  Add(a);
  EXPECT_EQ(Flags(a->subscribers), kSessionDecides | kSessionGathers);
  EXPECT_EQ(Flags(w->subscribers), kSessionDecides | kSessionGathers);
  Remove(w);
  EXPECT_EQ(Flags(a->subscribers), 0);
}

TEST_F(SubscriptionSetTest, APatternAloneDecidesWhileAChannelRecovers) {
  PatternTable* const w = Pattern("w:*");
  Add(w);
  set_.CountRecovering(1);
  EXPECT_EQ(Flags(w->subscribers), kSessionDecides | kSessionGathers);
  set_.CountRecovering(-1);
  EXPECT_EQ(Flags(w->subscribers), kSessionGathers);
}

TEST_F(SubscriptionSetTest, OfSubscriptionsThatMatchOneBringsTheChannel) {
  Channel* const one = Named("w:1");
  Channel* const two = Named("w:2");
  PatternTable* const w = Pattern("w:*");
  PatternTable* const all = Pattern("**");
  Add(w);
  Add(one);
  Add(all);
  EXPECT_THAT(Brought(one), ElementsAre("*"));
  EXPECT_THAT(Brought(one, w), IsEmpty());
  EXPECT_THAT(Brought(one, all), IsEmpty());
  // Without a subscription by name one of the patterns.
  EXPECT_EQ(Brought(two, w).size() + Brought(two, all).size(), 1u);
}

TEST_F(SubscriptionSetTest, FiltersOfSubscriptionsThatMatchAreUnited) {
  Channel* const one = Named("w:1");
  PatternTable* const w = Pattern("w:*");
  PatternTable* const other = Pattern("v:*");
  Add(one, Only("x"));
  Add(w, Only("y"));
  Add(other, Only("z"));
  EXPECT_THAT(Brought(one), UnorderedElementsAre("x", "y"));
  set_.SetFilter(set_.Find(nullptr, w), nullptr);
  EXPECT_THAT(Brought(one), ElementsAre("*"));
}

}  // namespace
}  // namespace fanwire::fanout
