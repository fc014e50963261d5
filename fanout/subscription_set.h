// SubscriptionSet is what one session subscribes to, by name and by pattern.  It keeps the places
// of the session in the tables that Hub walks, and tells Hub by their flags when the session must
// be asked.  Where subscriptions overlap, it decides which one brings a publication.
//
// Threading: loop-confined.
// Ownership: its Session owns it; borrows channels, patterns and their tables.  Its owner removes
//            every subscription before it destroys the set.
// Cost:      32 bytes, and 40 for each subscription.  Find() and Brings() are linear in the number
//            of subscriptions; Brings() looks at them only where subscriptions may overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "fanout/channel.h"
#include "fanout/client_message.h"

namespace fanwire::fanout {

struct Subscription {
  Channel* channel = nullptr;  // one of the two
  PatternTable* pattern = nullptr;
  uint32_t index = 0;                         // in its SubscriberTable
  std::shared_ptr<const EventFilter> filter;  // null: every event

  absl::string_view name() const {
    return channel != nullptr ? absl::string_view(channel->name)
                              : absl::string_view(pattern->pattern.text());
  }
};

class SubscriptionSet {
 public:
  // Filters of which one must let an event through; none: every event passes.
  using Filters = absl::InlinedVector<const EventFilter*, 4>;

  size_t size() const { return subscriptions_.size(); }
  bool empty() const { return subscriptions_.empty(); }
  bool has_patterns() const { return patterns_ > 0; }
  const std::vector<Subscription>& all() const { return subscriptions_; }
  Subscription& back() { return subscriptions_.back(); }

  // The subscription to the channel or to the pattern, of which one may be null.  Null if there is
  // none.
  Subscription* Find(const Channel* channel, const PatternTable* pattern);

  // Enters the session into the table of `channel` or, if that is null, of `pattern`.
  void Add(Session* session, int fd, Channel* channel, PatternTable* pattern,
           std::shared_ptr<const EventFilter> filter);
  // Leaves the table.  Another subscription takes the place of this one in the set.
  void Remove(Subscription* subscription);
  void SetFilter(Subscription* subscription, std::shared_ptr<const EventFilter> filter);

  // A table has moved the entry of a subscription.
  void OnMoved(uint32_t number, uint32_t index) { subscriptions_[number].index = index; }

  // `by` more recoveries of this session, or subscribes that ask for one, are under way.  While
  // there are any, patterns withhold what the recoveries bring.
  void CountRecovering(int by);
  bool recovering() const { return recovering_ > 0; }

  // Whether publications of `channel` that Hub delivers for subscription `number`, which is to
  // `pattern` or, if that is null, to the channel's name, are for the session.  Of several
  // subscriptions that match one channel a single one brings its publications, and the filters of
  // all of them are united.  If so, adds the filters that decide to `filters`.
  bool Brings(uint32_t number, Channel* channel, const PatternTable* pattern,
              Filters* filters) const;

  // Whether a subscription to a pattern matches the channel.
  bool MatchesByPattern(Channel* channel) const;

  // Calls `fn(const SubscriberTable*, index)` for each place in a table.
  template <typename Fn>
  void ForEachPlace(Fn fn) const {
    for (const Subscription& subscription : subscriptions_) {
      fn(&TableOf(subscription), subscription.index);
    }
  }

 private:
  static SubscriberTable& TableOf(const Subscription& subscription);
  static Service* ServiceOf(const Subscription& subscription);
  // Brings the flags of a subscription's entry in its table up to date.
  void UpdateFlag(uint32_t number);
  void UpdateFlags();

  std::vector<Subscription> subscriptions_;
  uint32_t patterns_ = 0;
  uint32_t recovering_ = 0;
};

}  // namespace fanwire::fanout
