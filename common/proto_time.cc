#include "common/proto_time.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <cstdint>

namespace fanwire {

namespace {

// The limits that google/protobuf/duration.proto and timestamp.proto name.
constexpr int64_t kMaxDurationSeconds = 315'576'000'000;
constexpr int64_t kMinTimestampSeconds = -62'135'596'800;  // 0001-01-01T00:00:00Z
constexpr int64_t kMaxTimestampSeconds = 253'402'300'799;  // 9999-12-31T23:59:59Z
constexpr int64_t kMaxNanos = 999'999'999;

}  // namespace

absl::Duration ToDuration(const google::protobuf::Duration& proto) {
  return absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

absl::Time ToTime(const google::protobuf::Timestamp& proto) {
  return absl::FromUnixSeconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

void SetDuration(absl::Duration value, google::protobuf::Duration* out) {
  const absl::Duration limit = absl::Seconds(kMaxDurationSeconds);
  absl::Duration rest;
  out->set_seconds(absl::IDivDuration(std::clamp(value, -limit, limit), absl::Seconds(1), &rest));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

void SetTimestamp(absl::Time value, google::protobuf::Timestamp* out) {
  const absl::Time time =
      std::clamp(value, absl::FromUnixSeconds(kMinTimestampSeconds),
                 absl::FromUnixSeconds(kMaxTimestampSeconds) + absl::Nanoseconds(kMaxNanos));
  const int64_t seconds = absl::ToUnixSeconds(time);  // rounds towards the past
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

}  // namespace fanwire
