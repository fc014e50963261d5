#include "control/admin/channel_listings.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/uuid.h"
#include "control/routing/channel_info.h"
#include "control/routing/channel_queries.h"
#include "fanwire/v1/admin.pb.h"

namespace fanwire::control {

namespace {

constexpr size_t kDefaultPageSize = 500;
constexpr size_t kMaxPageSize = 5000;

// A channel in a list.  Rows are sorted by value, the largest first, then by name.
struct Row {
  int64_t value = 0;
  const std::string* service = nullptr;
  absl::string_view channel;  // of Listing::names
};

// Where a page ended.
struct Place {
  int64_t value = 0;
  std::string service;
  std::string channel;
};

bool IsBefore(int64_t value, absl::string_view service, absl::string_view channel, const Row& b) {
  const absl::string_view other = *b.service;
  return std::tie(b.value, service, channel) < std::tie(value, other, b.channel);
}

bool operator<(const Row& a, const Row& b) { return IsBefore(a.value, *a.service, a.channel, b); }

bool operator<(const Place& a, const Row& b) { return IsBefore(a.value, a.service, a.channel, b); }

struct Token {
  uint64_t listing = 0;
  size_t next = 0;  // the row after the page
  Place end;
};

std::string ToToken(v1::ChannelSort sort, uint64_t listing, size_t next, const Row& end) {
  return absl::StrCat(static_cast<int>(sort), ":", listing, ":", next, ":", end.value, ":",
                      *end.service, ":", end.channel);
}

absl::StatusOr<Token> FromToken(const std::string& text, v1::ChannelSort sort) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 5));
  Token token;
  int token_sort = 0;
  if (parts.size() != 6 || !absl::SimpleAtoi(parts[0], &token_sort) || token_sort != sort ||
      !absl::SimpleAtoi(parts[1], &token.listing) || !absl::SimpleAtoi(parts[2], &token.next) ||
      !absl::SimpleAtoi(parts[3], &token.end.value)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "page_token: \"", text, "\" belongs to another list; begin with the first page"));
  }
  token.end.service = parts[4];
  token.end.channel = parts[5];
  return token;
}

int64_t SubscribersOf(const std::string& service, absl::string_view channel,
                      const SubscriberCounts& subscribers) {
  const auto it = subscribers.find({service, std::string(channel)});
  return it == subscribers.end() ? 0 : it->second;
}

int64_t ValueOf(const ListedChannel& channel, v1::ChannelSort sort,
                const SubscriberCounts& subscribers) {
  switch (sort) {
    case v1::CHANNEL_SORT_SUBSCRIBERS:
      return SubscribersOf(*channel.service, channel.channel, subscribers);
    case v1::CHANNEL_SORT_PUBLICATIONS:
      return channel.publications;
    case v1::CHANNEL_SORT_RECENT:
      return channel.last_published_us;
    default:
      return 0;
  }
}

}  // namespace

struct ChannelListings::Listing {
  uint64_t id = 0;
  // Which list was requested.  A token is valid only for a request of the same list.
  v1::ChannelSort sort = v1::CHANNEL_SORT_NAME;
  std::string service;
  std::string pattern;

  int64_t total = 0;
  SubscriberCounts subscribers;
  NameBlocks names;
  std::vector<Row> rows;
  size_t sorted = 0;  // the rows before this index are sorted
  size_t next = 0;    // the first row of the next page
  absl::Duration used;

  // Sorts the rows up to `end`, or twice as many as are sorted now if that is more.  So the first
  // page does not pay for sorting the last.
  void SortTo(size_t end) {
    if (end <= sorted) return;
    const size_t target = std::min(rows.size(), std::max(end, 2 * sorted));
    const auto at = [this](size_t i) { return rows.begin() + static_cast<std::ptrdiff_t>(i); };
    if (target < rows.size()) std::nth_element(at(sorted), at(target), rows.end());
    std::sort(at(sorted), at(target));
    sorted = target;
  }
};

ChannelListings::ChannelListings(ChannelQueries* queries, const Clock* clock)
    : queries_(queries), clock_(clock), last_id_(Random64() >> 1) {}

ChannelListings::~ChannelListings() = default;

std::unique_ptr<ChannelListings::Listing> ChannelListings::Take(
    const v1::ListChannelsRequest& request) {
  const absl::StatusOr<Token> token = FromToken(request.page_token(), request.sort());
  if (!token.ok()) return nullptr;
  MutexLock lock(&mu_);
  const auto it = kept_.find(token->listing);
  if (it == kept_.end()) return nullptr;
  const Listing& listing = *it->second;
  if (listing.sort != request.sort() || listing.service != request.service() ||
      listing.pattern != request.pattern() || token->next > listing.sorted) {
    return nullptr;
  }
  std::unique_ptr<Listing> taken = std::move(it->second);
  kept_.erase(it);
  taken->next = token->next;
  return taken;
}

bool ChannelListings::Continue(const v1::ListChannelsRequest& request, const ServiceTable& services,
                               v1::ListChannelsResponse* response) {
  std::unique_ptr<Listing> listing = Take(request);
  if (listing == nullptr) return false;
  FillPage(request, std::move(listing), services, response);
  return true;
}

absl::Status ChannelListings::Begin(const v1::ListChannelsRequest& request,
                                    SubscriberCounts subscribers, const ServiceTable& services,
                                    v1::ListChannelsResponse* response) {
  absl::StatusOr<Token> token = Token();
  if (!request.page_token().empty()) token = FromToken(request.page_token(), request.sort());
  if (!token.ok()) return token.status();
  absl::StatusOr<ListedChannels> listed =
      queries_->ListChannels(request.service(), request.pattern());
  if (!listed.ok()) return listed.status();
  const std::vector<ListedChannel>& channels = listed->channels;
  auto listing = std::make_unique<Listing>();
  listing->sort = request.sort();
  listing->service = request.service();
  listing->pattern = request.pattern();
  listing->total = static_cast<int64_t>(channels.size());
  listing->subscribers = std::move(subscribers);
  listing->names = std::move(listed->names);
  listing->rows.reserve(channels.size());
  for (const ListedChannel& channel : channels) {
    const Row row{.value = ValueOf(channel, request.sort(), listing->subscribers),
                  .service = channel.service,
                  .channel = channel.channel};
    if (request.page_token().empty() || token->end < row) listing->rows.push_back(row);
  }
  FillPage(request, std::move(listing), services, response);
  return absl::OkStatus();
}

void ChannelListings::FillPage(const v1::ListChannelsRequest& request,
                               std::unique_ptr<Listing> listing, const ServiceTable& services,
                               v1::ListChannelsResponse* response) {
  const size_t size = request.page_size() == 0
                          ? kDefaultPageSize
                          : std::min<size_t>(request.page_size(), kMaxPageSize);
  const size_t end = std::min(listing->rows.size(), listing->next + size);
  listing->SortTo(end);
  for (size_t i = listing->next; i < end; ++i) {
    const Row& row = listing->rows[i];
    const absl::StatusOr<ChannelSummary> channel = queries_->GetChannel(*row.service, row.channel);
    if (!channel.ok()) {
      --listing->total;  // the channel was forgotten meanwhile
      continue;
    }
    v1::ChannelInfo* const info = response->add_channels();
    ToProto(*channel, services, info);
    info->set_subscribers(SubscribersOf(*row.service, row.channel, listing->subscribers));
  }
  response->set_total(listing->total);
  listing->next = end;
  if (end == listing->rows.size()) return;
  std::unique_ptr<Listing> dropped;  // freed without the lock
  MutexLock lock(&mu_);
  if (listing->id == 0) listing->id = ++last_id_;
  response->set_next_page_token(ToToken(listing->sort, listing->id, end, listing->rows[end - 1]));
  listing->used = clock_->Now();
  if (kept_.size() >= kMaxKept) {
    const auto least = std::min_element(
        kept_.begin(), kept_.end(),
        [](const auto& a, const auto& b) { return a.second->used < b.second->used; });
    dropped = std::move(least->second);
    kept_.erase(least);
  }
  kept_[listing->id] = std::move(listing);
}

void ChannelListings::Expire() {
  std::vector<std::unique_ptr<Listing>> over;  // freed without the lock
  MutexLock lock(&mu_);
  const absl::Duration before = clock_->Now() - kKeptFor;
  for (auto it = kept_.begin(); it != kept_.end();) {
    if (it->second->used > before) {
      ++it;
      continue;
    }
    over.push_back(std::move(it->second));
    kept_.erase(it++);
  }
}

size_t ChannelListings::kept() const {
  MutexLock lock(&mu_);
  return kept_.size();
}

}  // namespace fanwire::control
