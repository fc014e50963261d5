// What a LinkTransport is given to write, as the message that it is.
#pragma once

#include "control/links/worker_link.h"
#include "fanwire/v1/worker.pb.h"
#include "gtest/gtest.h"

namespace fanwire::control {

inline v1::ControlMessage Parse(const LinkMessage& message) {
  v1::ControlMessage parsed;
  EXPECT_TRUE(parsed.ParseFromString(message.head + message.body));
  return parsed;
}

}  // namespace fanwire::control
