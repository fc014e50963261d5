// ChannelListings answers operators' requests for lists of channels in pages.
//
// The first page looks at every channel and keeps their order (a listing), so that each further
// page costs only about its own size.  The numbers of a channel are read when its page is
// requested.
//
// The total in a page does not count channels that were forgotten since the listing began.  On the
// last page it is the number of channels listed.
//
// A token also tells where its page ended.  If its listing is no longer kept, a new listing is made
// and continued from there.  In both cases every channel that exists all the time is listed, unless
// its place in the order changes before a new listing is made.
//
// Threading: safe from every thread.  The mutex is not held while channels are read.
// Ownership: borrows queries and clock.
// Cost:      a listing takes 32 bytes and the name for each channel.  It is kept for ten seconds
//            after its last page, and at most four are.  It does not keep channels from being
//            forgotten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/admin/admin_messages.h"

namespace fanwire::v1 {
class ListChannelsRequest;
class ListChannelsResponse;
}  // namespace fanwire::v1

namespace fanwire::control {

class ChannelQueries;
class ServiceTable;

class ChannelListings {
 public:
  static constexpr size_t kMaxKept = 4;
  static constexpr absl::Duration kKeptFor = absl::Seconds(10);

  ChannelListings(ChannelQueries* queries, const Clock* clock);
  ~ChannelListings();
  ChannelListings(const ChannelListings&) = delete;
  ChannelListings& operator=(const ChannelListings&) = delete;

  // Fills the page after the request's token.  Returns false, and fills nothing, if the request has
  // no token or its listing is not kept.
  bool Continue(const v1::ListChannelsRequest& request, const ServiceTable& services,
                v1::ListChannelsResponse* response);

  // Makes a listing and fills its first page or, with a token, the page after the token.
  // `subscribers` are needed for every order except the one by name.
  //   INVALID_ARGUMENT  malformed pattern, or a page_token of another list
  absl::Status Begin(const v1::ListChannelsRequest& request, SubscriberCounts subscribers,
                     const ServiceTable& services, v1::ListChannelsResponse* response);

  // Forgets the listings that were not used for kKeptFor.  Call every second.
  void Expire();

  // Returns the number of kept listings.
  size_t kept() const;

 private:
  struct Listing;

  // Removes and returns the kept listing that the request's token names; null if there is none.
  std::unique_ptr<Listing> Take(const v1::ListChannelsRequest& request);
  // Fills the page that begins at `listing->next`, and keeps the listing if there are more.
  void FillPage(const v1::ListChannelsRequest& request, std::unique_ptr<Listing> listing,
                const ServiceTable& services, v1::ListChannelsResponse* response);

  ChannelQueries* const queries_;
  const Clock* const clock_;

  mutable Mutex mu_;  // a leaf
  uint64_t last_id_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, std::unique_ptr<Listing>> kept_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
