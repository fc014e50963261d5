#include "common/proto_time.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace fanwire {
namespace {

google::protobuf::Duration Proto(absl::Duration value) {
  google::protobuf::Duration proto;
  SetDuration(value, &proto);
  return proto;
}
google::protobuf::Timestamp Proto(absl::Time value) {
  google::protobuf::Timestamp proto;
  SetTimestamp(value, &proto);
  return proto;
}

TEST(ProtoTimeTest, DurationsComeBackAsTheyWere) {
  for (const absl::Duration value :
       {absl::ZeroDuration(), absl::Nanoseconds(1), absl::Milliseconds(250), absl::Seconds(1.5),
        absl::Hours(24), -absl::Nanoseconds(1), -absl::Milliseconds(1500),
        absl::Seconds(315'576'000'000), -absl::Seconds(315'576'000'000)}) {
    EXPECT_EQ(ToDuration(Proto(value)), value);
  }
}

TEST(ProtoTimeTest, BothPartsOfANegativeDurationAreNegative) {
  EXPECT_EQ(Proto(-absl::Milliseconds(1500)).seconds(), -1);
  EXPECT_EQ(Proto(-absl::Milliseconds(1500)).nanos(), -500'000'000);
  EXPECT_EQ(Proto(-absl::Milliseconds(500)).seconds(), 0);
  EXPECT_EQ(Proto(-absl::Milliseconds(500)).nanos(), -500'000'000);
}

TEST(ProtoTimeTest, ADurationBeyondProtobufsRangeIsItsLimit) {
  for (const absl::Duration value :
       {absl::InfiniteDuration(), absl::Seconds(std::numeric_limits<int64_t>::max()),
        absl::Seconds(315'576'000'000) + absl::Nanoseconds(1)}) {
    EXPECT_EQ(Proto(value).seconds(), 315'576'000'000);
    EXPECT_EQ(Proto(value).nanos(), 0);
    EXPECT_EQ(Proto(-value).seconds(), -315'576'000'000);
    EXPECT_EQ(Proto(-value).nanos(), 0);
  }
}

TEST(ProtoTimeTest, ADurationOutOfRangeIsTheSumOfItsParts) {
  google::protobuf::Duration proto;
  proto.set_seconds(1);
  proto.set_nanos(-2'000'000'000);
  EXPECT_EQ(ToDuration(proto), -absl::Seconds(1));
  proto.set_seconds(std::numeric_limits<int64_t>::max());
  proto.set_nanos(std::numeric_limits<int32_t>::max());
  EXPECT_EQ(ToDuration(proto), absl::InfiniteDuration());
  proto.set_seconds(std::numeric_limits<int64_t>::min());
  proto.set_nanos(std::numeric_limits<int32_t>::min());
  EXPECT_EQ(ToDuration(proto), -absl::InfiniteDuration());
}

TEST(ProtoTimeTest, TimesComeBackAsTheyWere) {
  for (const absl::Time value :
       {absl::UnixEpoch(), absl::FromUnixMillis(1'770'724'500'250), absl::FromUnixNanos(-1),
        absl::FromUnixSeconds(-62'135'596'800), absl::FromUnixSeconds(253'402'300'799)}) {
    EXPECT_EQ(ToTime(Proto(value)), value);
  }
}

TEST(ProtoTimeTest, TheNanosecondsOfATimeBefore1970AreNotNegative) {
  EXPECT_EQ(Proto(absl::FromUnixNanos(-1)).seconds(), -1);
  EXPECT_EQ(Proto(absl::FromUnixNanos(-1)).nanos(), 999'999'999);
}

TEST(ProtoTimeTest, ATimeBeyondProtobufsRangeIsItsLimit) {
  for (const absl::Time value : {absl::InfiniteFuture(), absl::FromUnixSeconds(253'402'300'800)}) {
    EXPECT_EQ(Proto(value).seconds(), 253'402'300'799);
    EXPECT_EQ(Proto(value).nanos(), 999'999'999);
  }
  for (const absl::Time value : {absl::InfinitePast(), absl::FromUnixSeconds(-62'135'596'801)}) {
    EXPECT_EQ(Proto(value).seconds(), -62'135'596'800);
    EXPECT_EQ(Proto(value).nanos(), 0);
  }
}

}  // namespace
}  // namespace fanwire
