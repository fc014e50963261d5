#include "fanout/subscription_set.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "common/check.h"
#include "fanout/service.h"

namespace fanwire::fanout {

Subscription* SubscriptionSet::Find(const Channel* channel, const PatternTable* pattern) {
  if (channel == nullptr && pattern == nullptr) return nullptr;
  for (Subscription& subscription : subscriptions_) {
    if (subscription.channel != nullptr ? subscription.channel == channel
                                        : subscription.pattern == pattern) {
      return &subscription;
    }
  }
  return nullptr;
}

SubscriberTable& SubscriptionSet::TableOf(const Subscription& subscription) {
  if (subscription.pattern != nullptr) return subscription.pattern->subscribers;
  FANWIRE_CHECK(subscription.channel != nullptr);
  return subscription.channel->subscribers;
}

Service* SubscriptionSet::ServiceOf(const Subscription& subscription) {
  return subscription.pattern != nullptr ? subscription.pattern->service
                                         : subscription.channel->service;
}

void SubscriptionSet::Add(Session* session, int fd, Channel* channel, PatternTable* pattern,
                          std::shared_ptr<const EventFilter> filter) {
  const auto number = static_cast<uint32_t>(subscriptions_.size());
  Subscription& subscription = subscriptions_.emplace_back();
  subscription.channel = channel;
  subscription.pattern = pattern;
  subscription.filter = std::move(filter);
  if (pattern != nullptr && pattern->subscribers.empty()) pattern->service->ForgetLeftPositions();
  subscription.index =
      TableOf(subscription).Add({.session = session, .fd = fd, .subscription = number});
  ++ServiceOf(subscription)->counts().subscriptions;
  if (pattern != nullptr && patterns_++ == 0) return UpdateFlags();
  UpdateFlag(number);
  if (subscriptions_.size() == 2) UpdateFlag(0);
}

void SubscriptionSet::Remove(Subscription* subscription) {
  const auto number = static_cast<uint32_t>(subscription - subscriptions_.data());
  const bool last_pattern = subscription->pattern != nullptr && --patterns_ == 0;
  TableOf(*subscription).Remove(subscription->index);
  if (TableOf(*subscription).empty()) {
    if (subscription->pattern != nullptr) {
      subscription->pattern->service->PatternIsLeft();
    } else {
      subscription->channel->service->ChannelIsLeft(subscription->channel);
    }
  }
  --ServiceOf(*subscription)->counts().subscriptions;
  if (number + 1 < subscriptions_.size()) {
    *subscription = std::move(subscriptions_.back());
    TableOf(*subscription).at(subscription->index).subscription = number;
  }
  subscriptions_.pop_back();
  if (last_pattern) return UpdateFlags();
  if (subscriptions_.size() == 1) UpdateFlag(0);
}

void SubscriptionSet::SetFilter(Subscription* subscription,
                                std::shared_ptr<const EventFilter> filter) {
  subscription->filter = std::move(filter);
  UpdateFlag(static_cast<uint32_t>(subscription - subscriptions_.data()));
}

void SubscriptionSet::CountRecovering(int by) {
  recovering_ = static_cast<uint32_t>(static_cast<int>(recovering_) + by);
  // A session on one pattern alone must now withhold, or need not any more.
  if (by != 0 && subscriptions_.size() == 1) UpdateFlag(0);
}

bool SubscriptionSet::Brings(uint32_t number, Channel* channel, const PatternTable* pattern,
                             Filters* filters) const {
  if (patterns_ == 0 || (subscriptions_.size() == 1 && recovering_ == 0)) {
    if (subscriptions_[number].filter != nullptr) {
      filters->push_back(subscriptions_[number].filter.get());
    }
    return true;
  }
  // Which one brings a publication must not change while a run is walked, as the numbers of
  // subscriptions may: it is the one to the name, or the pattern whose table has the lowest
  // address.
  const std::vector<PatternTable*>& matching = channel->service->PatternsOf(channel);
  bool unfiltered = false;
  for (uint32_t i = 0; i < subscriptions_.size(); ++i) {
    const Subscription& other = subscriptions_[i];
    const bool exact = other.channel == channel;
    if (!exact && (other.pattern == nullptr ||
                   std::find(matching.begin(), matching.end(), other.pattern) == matching.end())) {
      continue;
    }
    if (i != number && (exact || (pattern != nullptr &&
                                  std::less<const PatternTable*>()(other.pattern, pattern)))) {
      return false;
    }
    unfiltered |= other.filter == nullptr;
    filters->push_back(other.filter.get());
  }
  if (unfiltered) filters->clear();
  return true;
}

bool SubscriptionSet::MatchesByPattern(Channel* channel) const {
  if (patterns_ == 0) return false;
  const std::vector<PatternTable*>& matching = channel->service->PatternsOf(channel);
  return std::any_of(subscriptions_.begin(), subscriptions_.end(), [&](const Subscription& one) {
    return one.pattern != nullptr &&
           std::find(matching.begin(), matching.end(), one.pattern) != matching.end();
  });
}

void SubscriptionSet::UpdateFlag(uint32_t number) {
  const Subscription& subscription = subscriptions_[number];
  const bool several = subscriptions_.size() > 1;
  const bool decides =
      subscription.filter != nullptr || (patterns_ > 0 && (several || recovering_ > 0));
  const bool gathers = several || subscription.pattern != nullptr;
  TableOf(subscription).at(subscription.index).by_session =
      static_cast<uint8_t>((decides ? kSessionDecides : 0) | (gathers ? kSessionGathers : 0));
}

void SubscriptionSet::UpdateFlags() {
  for (uint32_t i = 0; i < subscriptions_.size(); ++i) UpdateFlag(i);
}

}  // namespace fanwire::fanout
