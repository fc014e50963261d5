#include "common/time_format.h"

#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire {
namespace {

using ::testing::HasSubstr;

TEST(TimeFormatTest, AlwaysHasSixDecimalsAndAnOffset) {
  EXPECT_EQ(FormatIso8601(absl::UnixEpoch()), "1970-01-01T00:00:00.000000+00:00");
  EXPECT_EQ(FormatIso8601(absl::FromUnixMicros(1'770'753'600'123'456)),
            "2026-02-10T20:00:00.123456+00:00");
  EXPECT_EQ(FormatIso8601(absl::FromUnixMicros(-1)), "1969-12-31T23:59:59.999999+00:00");
}

TEST(TimeFormatTest, AgreesWithTheLibraryOverTheCenturies) {
  for (int64_t seconds = -62'000'000'000; seconds < 250'000'000'000;
       seconds += 86'400 * 97 + 4321) {
    const absl::Time time = absl::FromUnixSeconds(seconds);
    ASSERT_EQ(FormatRfc3339(time),
              absl::FormatTime("%E4Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone()));
  }
}

TEST(TimeFormatTest, ReadsWhatItWrites) {
  const absl::Time time = absl::FromUnixMicros(1'770'753'600'123'456);
  EXPECT_EQ(*ParseRfc3339(FormatIso8601(time)), time);
  EXPECT_EQ(*ParseRfc3339("2026-02-10T21:00:00.123456+01:00"), time);
  EXPECT_THAT(ParseRfc3339("yesterday"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not an RFC 3339 time")));
}

}  // namespace
}  // namespace fanwire
