#include "control/engine/stored_publication.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/control/engine/engine_fixture.h"

namespace fanwire::control {

namespace {

std::string Bytes(const Publication& publication) {
  std::string bytes;
  WriteStoredHead(publication, &bytes);
  absl::StrAppend(&bytes, publication.envelope());
  return bytes;
}

TEST(StoredPublicationTest, ComesBackAsItWas) {
  FakeClock clock;
  const Position position{.epoch = {0x1234567890abcdef}, .offset = 77};
  for (const int64_t n : {1, 2}) {
    const PublicationPtr before = MakePublication(clock, n, 200, absl::Seconds(30));
    const std::string bytes = Bytes(*before);
    before->Seal(position.epoch, position.offset);
    EXPECT_EQ(StoredReceivedUs(bytes), before->received_us());
    const PublicationPtr after = ReadStored(bytes, position, absl::Seconds(5));
    ASSERT_TRUE(after);
    EXPECT_EQ(after->envelope(), before->envelope());
    EXPECT_EQ(after->data(), absl::StrCat("{\"n\":", n, "}"));
    EXPECT_EQ(after->event(), before->event());
    EXPECT_EQ(after->exclude_connection(), before->exclude_connection());
    EXPECT_EQ(after->conflate_key(), before->conflate_key());
    EXPECT_EQ(after->received_us(), before->received_us());
    EXPECT_EQ(after->offset(), 77);
    EXPECT_EQ(after->epoch(), position.epoch);
    // Times are those of the process that reads.
    EXPECT_EQ(after->received_at(), absl::Seconds(5));
    EXPECT_EQ(after->expires_at(), absl::Seconds(35));
    EXPECT_EQ(after->tracking_id(), 0);
  }
}

TEST(StoredPublicationTest, WithoutALifetimeItNeverExpires) {
  FakeClock clock;
  const PublicationPtr after =
      ReadStored(Bytes(*MakePublication(clock, 1)), {.epoch = {1}, .offset = 1}, absl::Seconds(5));
  ASSERT_TRUE(after);
  EXPECT_EQ(after->expires_at(), absl::InfiniteDuration());
}

TEST(StoredPublicationTest, DamagedBytesAreNoPublication) {
  FakeClock clock;
  const std::string bytes = Bytes(*MakePublication(clock, 1));
  const Position position{.epoch = {1}, .offset = 1};
  EXPECT_FALSE(ReadStored("", position, {}));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ReadStored(bytes.substr(0, size), position, {})) << size;
  }
}

TEST(StoredPublicationTest, FieldsOfLaterVersionsArePassedOver) {
  FakeClock clock;
  const std::string bytes = Bytes(*MakePublication(clock, 1)) + "\xfa\x01\x03new";
  EXPECT_TRUE(ReadStored(bytes, {.epoch = {1}, .offset = 1}, {}));
}

}  // namespace
}  // namespace fanwire::control
