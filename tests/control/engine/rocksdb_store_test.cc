#include "control/engine/rocksdb_store.h"

#include <rocksdb/db.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/engine/engine_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RocksDbStoreTest : public ::testing::Test {
 protected:
  RocksDbStoreTest() { std::filesystem::create_directory(folder_.path()); }

  void Open(uint32_t generation = 1) {
    store_ = nullptr;
    auto store = RocksDbStore::Open({.folder = folder_.path("data/db"), .generation = generation});
    ASSERT_OK(store);
    store_ = *std::move(store);
    batch_ = store_->MakeBatch();
  }
  void Write() {
    ASSERT_OK(store_->Write(batch_.get()));
    batch_->Clear();
  }
  // Stores a channel with the offsets 1 to `head`.
  void Put(const std::string& name, Epoch epoch, int64_t head, int64_t floor,
           uint32_t generation = 1) {
    for (int64_t offset = 1; offset <= head; ++offset) {
      batch_->PutPublication(epoch, offset, *MakePublication(clock_, offset));
    }
    batch_->PutHead(epoch, {.offset = head, .floor = floor, .generation = generation});
    batch_->PutChannel(name, epoch);
    Write();
  }
  std::vector<int64_t> Offsets(Epoch epoch) {
    std::vector<int64_t> offsets;
    EXPECT_OK(store_->Read(epoch, 1, 1'000'000, [&](int64_t offset, absl::string_view) {
      offsets.push_back(offset);
      return true;
    }));
    return offsets;
  }

  TestFolder folder_;
  FakeClock clock_;
  std::unique_ptr<RocksDbStore> store_;
  std::unique_ptr<StoreBatch> batch_;
};

TEST_F(RocksDbStoreTest, ACompactionDropsWhatIsOutOfHistoryAndNothingElse) {
  const Epoch whole{0x1000}, part{0x2000}, none{0x3000}, forgotten{0x4000}, older{0x5000},
      last{0xffff'ffff'ffff'ffff};
  Open();
  Put("whole", whole, 5, 1);
  Put("part", part, 5, 4);
  Put("none", none, 5, 6);
  Put("forgotten", forgotten, 5, 1);
  Put("older", older, 5, 1, /*generation=*/0);
  Put("last", last, 5, 5);
  batch_->DeleteChannel("forgotten", forgotten);
  Write();
  EXPECT_EQ(Offsets(part).size(), 5);
  ASSERT_OK(store_->Compact());
  EXPECT_THAT(Offsets(whole), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(Offsets(part), ElementsAre(4, 5));
  EXPECT_THAT(Offsets(none), IsEmpty());
  EXPECT_THAT(Offsets(forgotten), IsEmpty());
  EXPECT_THAT(Offsets(older), IsEmpty());
  EXPECT_THAT(Offsets(last), ElementsAre(5));
  // A floor that rises holds for the next compaction.
  batch_->PutHead(whole, {.offset = 5, .floor = 3, .generation = 1});
  Write();
  ASSERT_OK(store_->Compact());
  EXPECT_THAT(Offsets(whole), ElementsAre(3, 4, 5));
}

TEST_F(RocksDbStoreTest, ANewGenerationKnowsNothingOfTheOldOne) {
  Open();
  Put("a", {7}, 5, 1);
  Open(2);
  std::vector<std::optional<StoredChannel>> found;
  ASSERT_OK(store_->Find({"a", "b"}, &found));
  ASSERT_TRUE(found[0].has_value());
  EXPECT_TRUE(found[0]->over);
  EXPECT_FALSE(found[1].has_value());
  Put("a", {8}, 2, 1, 2);
  ASSERT_OK(store_->Find({"b", "a"}, &found));
  ASSERT_TRUE(found[1].has_value());
  EXPECT_EQ(found[1]->epoch, Epoch{8});
  EXPECT_FALSE(found[1]->over);
  EXPECT_EQ(found[1]->head.offset, 2);
  ASSERT_OK(store_->Compact());
  EXPECT_THAT(Offsets({7}), IsEmpty());
  EXPECT_THAT(Offsets({8}), ElementsAre(1, 2));
}

TEST_F(RocksDbStoreTest, NamesAreWalkedInPieces) {
  Open();
  for (uint64_t n = 1; n <= 5; ++n) Put(absl::StrCat("name", n), {n}, 1, 1, n == 4 ? 0 : 1);
  std::string after;
  std::vector<std::string> names;
  std::vector<bool> current;
  for (;;) {
    const auto more =
        store_->Walk(after, 2, [&](absl::string_view name, Epoch epoch, const ChannelHead* head) {
          after = std::string(name);
          names.push_back(absl::StrCat(name, "=", epoch.value));
          current.push_back(head != nullptr);
        });
    ASSERT_OK(more);
    if (!*more) break;
  }
  EXPECT_THAT(names, ElementsAre("name1=1", "name2=2", "name3=3", "name4=4", "name5=5"));
  EXPECT_THAT(current, ElementsAre(true, true, true, false, true));
}

TEST_F(RocksDbStoreTest, AColumnOfALaterVersionIsNoHindrance) {
  Open();
  Put("a", {7}, 3, 1);
  store_ = nullptr;
  {
    rocksdb::Options options;
    std::vector<std::string> names;
    const std::string path = folder_.path("data/db");
    ASSERT_TRUE(rocksdb::DB::ListColumnFamilies(options, path, &names).ok());
    std::vector<rocksdb::ColumnFamilyDescriptor> columns;
    for (const std::string& name : names) columns.emplace_back(name, options);
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, path, columns, &handles, &db).ok());
    rocksdb::ColumnFamilyHandle* added = nullptr;
    ASSERT_TRUE(db->CreateColumnFamily(options, "later", &added).ok());
    handles.push_back(added);
    for (rocksdb::ColumnFamilyHandle* const handle : handles) {
      ASSERT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
    }
    delete db;
  }
  Open();
  EXPECT_EQ(Offsets({7}).size(), 3);
}

TEST_F(RocksDbStoreTest, ItsSizesAreThoseOfItsFiles) {
  Open();
  const int64_t before = store_->sizes().disk_bytes;
  for (uint64_t n = 1; n <= 10; ++n) Put(absl::StrCat("name", n), {n}, 100, 1);
  EXPECT_GT(store_->sizes().disk_bytes, before + 1000 * 100);
  EXPECT_GT(store_->sizes().history_bytes, 1000 * 100);
  ASSERT_OK(store_->Close());
  EXPECT_FALSE(store_->Close().ok());
  EXPECT_FALSE(store_->Write(batch_.get()).ok());
}

}  // namespace
}  // namespace fanwire::control
