#include "control/routing/channel_table.h"

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;

class ChannelTableTest : public ::testing::Test {
 protected:
  static std::unique_ptr<ServiceState> MakeService(std::vector<std::string> mirror_prefixes = {}) {
    auto service = std::make_unique<ServiceState>("s", absl::Minutes(1), 10);
    service->mirror_prefixes = std::move(mirror_prefixes);
    return service;
  }
  size_t Index(ServiceState* service, const std::string& name, Dialect dialect = Dialect::kCommon) {
    return table_.IndexOf(ChannelKey(service, dialect, name));
  }
  std::shared_ptr<ChannelState> Insert(const ChannelKey& key) {
    auto state = std::make_shared<ChannelState>();
    state->service = key.service;
    state->dialect = key.dialect;
    state->name = std::string(key.name);
    state->hash = key.hash;
    ChannelTable::Shard& shard = table_.shard(table_.IndexOf(key));
    MutexLock lock(&shard.mu);
    shard.channels.emplace(state);
    return state;
  }
  std::shared_ptr<ChannelState> Find(const ChannelKey& key) {
    ChannelTable::Shard& shard = table_.shard(table_.IndexOf(key));
    MutexLock lock(&shard.mu);
    const std::shared_ptr<ChannelState>* const found = ChannelTable::Find(shard, key);
    return found == nullptr ? nullptr : *found;
  }

  ChannelTable table_;
};

TEST_F(ChannelTableTest, AChannelIsItsServiceItsDialectAndItsName) {
  const auto one = MakeService(), two = MakeService();
  const ChannelKey key(one.get(), Dialect::kCommon, "metrics");
  const auto state = Insert(key);
  EXPECT_EQ(Find(key), state);
  EXPECT_EQ(Find(ChannelKey(two.get(), Dialect::kCommon, "metrics")), nullptr);
  EXPECT_EQ(Find(ChannelKey(one.get(), Dialect::kSessionBuddy, "metrics")), nullptr);
  EXPECT_EQ(Find(ChannelKey(one.get(), Dialect::kCommon, "metrics2")), nullptr);
  EXPECT_EQ(table_.IndexOf(*state), table_.IndexOf(key));
}

TEST_F(ChannelTableTest, MemoryIsAskedForAheadWhetherTheChannelIsThereOrNot) {
  const auto service = MakeService();
  const ChannelKey key(service.get(), Dialect::kCommon, "metrics");
  ChannelTable::Shard& shard = table_.shard(table_.IndexOf(key));
  const auto ask = [&] {
    MutexLock lock(&shard.mu);
    ChannelTable::PrefetchPlace(shard, key);
    ChannelTable::PrefetchState(shard, key);
  };
  ask();
  const auto state = Insert(key);  // without a log, as a dialect's
  ask();
  EXPECT_EQ(Find(key), state);
  EXPECT_EQ(state.use_count(), 2);
}

TEST_F(ChannelTableTest, ChannelsSpreadOverAllOriginShards) {
  const auto service = MakeService();
  std::set<size_t> used;
  for (int i = 0; i < 5000; ++i) {
    const size_t index = Index(service.get(), absl::StrCat("workflow:", i));
    ASSERT_LT(index, ChannelTable::kOriginShards);
    used.insert(index);
  }
  EXPECT_EQ(used.size(), ChannelTable::kOriginShards);
}

TEST_F(ChannelTableTest, ChannelsThatRulesMirrorToHaveShardsOfTheirOwnBehindTheOthers) {
  const auto service = MakeService({"global", "worker:"});
  EXPECT_GE(Index(service.get(), "global"), ChannelTable::kOriginShards);
  for (int i = 0; i < 500; ++i) {
    const size_t index = Index(service.get(), absl::StrCat("worker:", i));
    ASSERT_GE(index, ChannelTable::kOriginShards);
    ASSERT_LT(index, ChannelTable::kShards);
  }
  EXPECT_LT(Index(service.get(), "workers"), ChannelTable::kOriginShards);
}

TEST_F(ChannelTableTest, LocksEachShardOnceInAscendingOrderAndLetsThemGo) {
  std::vector<size_t> indices = {70, 3, 70, 1, 3};
  {
    const ShardLocks locks(&table_, &indices);
    EXPECT_THAT(indices, ElementsAre(1, 3, 70));
  }
  std::vector<size_t> again = {70, 1};
  const ShardLocks locks(&table_, &again);
}

TEST_F(ChannelTableTest, WhoeverLocksTheSameShardsInWhateverOrderNobodyWaitsForever) {
  std::vector<std::thread> threads;
  int counted = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        std::vector<size_t> indices =
            t % 2 == 0 ? std::vector<size_t>{5, 66, 64} : std::vector<size_t>{64, 5, 70, 66};
        const ShardLocks locks(&table_, &indices);
        ++counted;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counted, 2000);
}

}  // namespace
}  // namespace fanwire::control
