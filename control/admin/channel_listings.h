// ChannelListings cuts the lists of channels that operators ask for into pages.
//
// The first page looks at every channel.  The order that it found is kept, so that each further
// page costs about its own size.  What a page says of its channels is read when it is asked for.
//
// What a page says of the number of channels leaves out those that were forgotten since the listing
// began: after the last page, as many were listed.
//
// A token also says where its page ended.  If its listing is no longer kept, another one is made
// that goes on from there.  Either way a channel that exists during the whole listing is listed,
// unless it changes its place in the order before a listing is made anew.
//
// Threading: safe from every thread.  The mutex is not held while channels are looked at.
// Ownership: borrows queries and clock.
// Cost:      a kept listing is 32 bytes per channel and its name, for ten seconds after its last
//            page; at most four are kept.  It keeps no channel's state.
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

  // Fills the page that the request's token names.  Returns false, and fills nothing, if the
  // request has no token or its listing is not kept.
  bool Continue(const v1::ListChannelsRequest& request, const ServiceTable& services,
                v1::ListChannelsResponse* response);

  // Makes a listing and fills its first page or, with a token, the page after the token's.
  // `subscribers` are needed for every order but the one by name.
  //   INVALID_ARGUMENT  malformed pattern, or a page_token that is none of this list
  absl::Status Begin(const v1::ListChannelsRequest& request, SubscriberCounts subscribers,
                     const ServiceTable& services, v1::ListChannelsResponse* response);

  // Forgets the listings whose time is over.  Call every second.
  void Expire();

  // Listings that are kept.
  size_t kept() const;

 private:
  struct Listing;

  // Takes the listing that `token` names out of those that are kept; null if it is not there.
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
