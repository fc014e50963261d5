#include "control/admin/channel_listings.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/routing/channel_info.h"
#include "fanwire/v1/admin.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_channel_queries.h"
#include "tests/fakes/fake_clock.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ChannelListingsTest : public ::testing::Test {
 protected:
  ChannelListingsTest() {
    queries_.channels = {
        Summary("mahavishnu", "b:x", 5, noon_), Summary("akosha", "c", 5, noon_ + absl::Seconds(1)),
        Summary("mahavishnu", "a", 9), Summary("akosha", "b", 0, noon_ - absl::Seconds(1)),
        Summary("mahavishnu", "b", 7, noon_ + absl::Seconds(2))};
  }

  static ChannelSummary Summary(const std::string& service, const std::string& channel,
                                int64_t publications = 0, absl::Time last = absl::InfinitePast()) {
    ChannelSummary summary;
    summary.service = service;
    summary.channel = channel;
    summary.publications = publications;
    summary.last_published = last;
    return summary;
  }
  static std::shared_ptr<const ServiceTable> Services() {
    const LoadedConfig loaded = LoadConfig("services: [{name: akosha, port: 1}]\n", "t.yaml", {});
    EXPECT_TRUE(loaded.ok());
    return ServiceTable::Make(*loaded.config);
  }
  static std::vector<std::string> Names(const v1::ListChannelsResponse& page) {
    std::vector<std::string> names;
    for (const v1::ChannelInfo& info : page.channels()) {
      names.push_back(info.service() + "/" + info.channel());
    }
    return names;
  }

  // As AdminService asks.
  absl::StatusOr<v1::ListChannelsResponse> Page(const v1::ListChannelsRequest& request) {
    v1::ListChannelsResponse response;
    if (listings_.Continue(request, *services_, &response)) return response;
    if (absl::Status status = listings_.Begin(request, subscribers_, *services_, &response);
        !status.ok()) {
      return status;
    }
    return response;
  }
  v1::ListChannelsResponse FirstPage(v1::ListChannelsRequest* request, uint32_t size) {
    request->set_page_size(size);
    const auto page = Page(*request);
    EXPECT_OK(page);
    request->set_page_token(page->next_page_token());
    return *page;
  }
  // All channels, page after page; every page is asked after `pause`.
  std::vector<std::string> Listed(v1::ChannelSort sort, uint32_t page_size,
                                  absl::Duration pause = absl::ZeroDuration()) {
    v1::ListChannelsRequest request;
    request.set_sort(sort);
    request.set_page_size(page_size);
    std::vector<std::string> listed;
    for (int pages = 0; pages < 100; ++pages) {
      const auto page = Page(request);
      EXPECT_OK(page);
      EXPECT_LE(page->channels_size(), static_cast<int>(page_size));
      EXPECT_EQ(page->total(), static_cast<int64_t>(queries_.channels.size()));
      for (std::string& name : Names(*page)) listed.push_back(std::move(name));
      if (page->next_page_token().empty()) return listed;
      request.set_page_token(page->next_page_token());
      clock_.Advance(pause);
      listings_.Expire();
    }
    ADD_FAILURE() << "no end of pages";
    return listed;
  }

  const absl::Time noon_ = absl::FromUnixSeconds(1'770'000'000);
  FakeClock clock_;
  FakeChannelQueries queries_;
  ChannelListings listings_{&queries_, &clock_};
  const std::shared_ptr<const ServiceTable> services_ = Services();
  SubscriberCounts subscribers_ = {
      {{"akosha", "b"}, 4}, {{"mahavishnu", "b:x"}, 4}, {{"mahavishnu", "b"}, 11}};
};

TEST_F(ChannelListingsTest, EveryOrderIsKeptOverPagesOfEverySizeWhetherTheListingIsKeptOrNot) {
  for (const uint32_t size : {1u, 2u, 3u, 5u, 100u}) {
    for (const absl::Duration pause : {absl::ZeroDuration(), absl::Minutes(1)}) {
      EXPECT_THAT(
          Listed(v1::CHANNEL_SORT_NAME, size, pause),
          ElementsAre("akosha/b", "akosha/c", "mahavishnu/a", "mahavishnu/b", "mahavishnu/b:x"));
      EXPECT_THAT(
          Listed(v1::CHANNEL_SORT_SUBSCRIBERS, size, pause),
          ElementsAre("mahavishnu/b", "akosha/b", "mahavishnu/b:x", "akosha/c", "mahavishnu/a"));
      EXPECT_THAT(
          Listed(v1::CHANNEL_SORT_PUBLICATIONS, size, pause),
          ElementsAre("mahavishnu/a", "mahavishnu/b", "akosha/c", "mahavishnu/b:x", "akosha/b"));
      EXPECT_THAT(
          Listed(v1::CHANNEL_SORT_RECENT, size, pause),
          ElementsAre("mahavishnu/b", "akosha/c", "mahavishnu/b:x", "akosha/b", "mahavishnu/a"));
    }
  }
}

TEST_F(ChannelListingsTest, ChannelsThatGoWhileTheyAreListedAreNotCounted) {
  v1::ListChannelsRequest request;
  request.set_sort(v1::CHANNEL_SORT_NAME);
  std::vector<std::string> listed = Names(FirstPage(&request, 1));
  std::erase_if(queries_.channels,
                [](const ChannelSummary& channel) { return channel.channel == "b"; });
  int64_t total = 0;
  while (!request.page_token().empty()) {
    const auto page = Page(request);
    ASSERT_OK(page);
    for (std::string& name : Names(*page)) listed.push_back(std::move(name));
    total = page->total();
    request.set_page_token(page->next_page_token());
  }
  EXPECT_THAT(listed, ElementsAre("akosha/b", "akosha/c", "mahavishnu/a", "mahavishnu/b:x"));
  EXPECT_EQ(total, 4);  // "akosha/b" went after it was listed, "mahavishnu/b" before
}

TEST_F(ChannelListingsTest, TheChannelsAreLookedThroughOnceHoweverManyPages) {
  queries_.channels.clear();
  for (int i = 0; i < 1000; ++i) {
    queries_.channels.push_back(Summary("akosha", absl::StrCat("c", (i * 37) % 1000)));
  }
  const std::vector<std::string> listed = Listed(v1::CHANNEL_SORT_NAME, 11);
  EXPECT_THAT(listed, SizeIs(1000));
  EXPECT_TRUE(std::is_sorted(listed.begin(), listed.end()));
  EXPECT_EQ(queries_.lists, 1);
  EXPECT_EQ(listings_.kept(), 0u);
}

TEST_F(ChannelListingsTest, APageSaysWhatHoldsWhenItIsAskedAndHowManySubscribersThereWere) {
  v1::ListChannelsRequest request;
  request.set_sort(v1::CHANNEL_SORT_SUBSCRIBERS);
  FirstPage(&request, 1);
  queries_.channels[3].publications = 77;
  const auto second = Page(request);
  ASSERT_OK(second);
  EXPECT_THAT(Names(*second), ElementsAre("akosha/b"));
  EXPECT_EQ(second->channels(0).publications(), 77);
  EXPECT_EQ(second->channels(0).subscribers(), 4);
}

TEST_F(ChannelListingsTest, AChannelThatIsForgottenMeanwhileIsLeftOut) {
  v1::ListChannelsRequest request;
  FirstPage(&request, 2);
  queries_.channels.erase(queries_.channels.begin() + 2);  // mahavishnu/a
  const auto second = Page(request);
  ASSERT_OK(second);
  EXPECT_THAT(Names(*second), ElementsAre("mahavishnu/b"));
  EXPECT_EQ(second->total(), 4);
  request.set_page_token(second->next_page_token());
  EXPECT_THAT(Names(*Page(request)), ElementsAre("mahavishnu/b:x"));
}

TEST_F(ChannelListingsTest, AChannelThatCameMeanwhileShiftsNoPage) {
  for (const absl::Duration pause : {absl::ZeroDuration(), absl::Minutes(1)}) {
    v1::ListChannelsRequest request;
    FirstPage(&request, 2);
    queries_.channels.push_back(Summary("akosha", "a"));
    clock_.Advance(pause);
    listings_.Expire();
    EXPECT_THAT(Names(*Page(request)), ElementsAre("mahavishnu/a", "mahavishnu/b"));
    queries_.channels.pop_back();
  }
}

TEST_F(ChannelListingsTest, APageThatIsAskedTwiceIsTheSame) {
  v1::ListChannelsRequest request;
  FirstPage(&request, 2);
  EXPECT_THAT(Names(*Page(request)), ElementsAre("mahavishnu/a", "mahavishnu/b"));
  EXPECT_THAT(Names(*Page(request)), ElementsAre("mahavishnu/a", "mahavishnu/b"));
  EXPECT_EQ(queries_.lists, 1);
  request.set_page_size(100);
  EXPECT_THAT(Names(*Page(request)), SizeIs(3));  // ends the listing
  EXPECT_THAT(Names(*Page(request)), SizeIs(3));
  EXPECT_EQ(queries_.lists, 2);
}

TEST_F(ChannelListingsTest, AListingIsKeptForTenSecondsAfterItsLastPage) {
  v1::ListChannelsRequest request;
  FirstPage(&request, 1);
  clock_.Advance(absl::Seconds(9));
  request.set_page_token(Page(request)->next_page_token());
  clock_.Advance(absl::Seconds(9));
  listings_.Expire();
  EXPECT_EQ(listings_.kept(), 1u);
  clock_.Advance(absl::Seconds(1));
  listings_.Expire();
  EXPECT_EQ(listings_.kept(), 0u);
}

TEST_F(ChannelListingsTest, OfManyListingsTheLastUsedAreKept) {
  v1::ListChannelsRequest oldest;
  FirstPage(&oldest, 1);
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(absl::Milliseconds(1));
    v1::ListChannelsRequest request;
    FirstPage(&request, 1);
  }
  EXPECT_EQ(listings_.kept(), ChannelListings::kMaxKept);
  EXPECT_THAT(Names(*Page(oldest)), ElementsAre("akosha/c"));
  EXPECT_EQ(queries_.lists, 12);
}

TEST_F(ChannelListingsTest, ATokenOfAnotherListIsRefused) {
  v1::ListChannelsRequest request;
  FirstPage(&request, 1);
  request.set_sort(v1::CHANNEL_SORT_RECENT);
  EXPECT_THAT(Page(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_token")));
  request.set_page_token("nonsense");
  EXPECT_THAT(Page(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nonsense")));
}

TEST_F(ChannelListingsTest, ATokenWithAnotherFilterMakesAListingOfItsOwn) {
  v1::ListChannelsRequest request;
  FirstPage(&request, 2);
  request.set_service("akosha");
  EXPECT_OK(Page(request));
  EXPECT_EQ(queries_.lists, 2);
}

TEST_F(ChannelListingsTest, APageHas500UnlessToldAnd5000AtMost) {
  queries_.channels.clear();
  for (int i = 0; i < 6000; ++i) {
    queries_.channels.push_back(Summary("akosha", absl::StrCat("c", i)));
  }
  for (const auto& [asked, got] : {std::pair(0u, 500), {600u, 600}, {1'000'000u, 5000}}) {
    v1::ListChannelsRequest request;
    const v1::ListChannelsResponse page = FirstPage(&request, asked);
    EXPECT_EQ(page.channels_size(), got);
    EXPECT_EQ(page.total(), 6000);
  }
}

}  // namespace
}  // namespace fanwire::control
