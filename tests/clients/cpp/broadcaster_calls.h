// Calls of every function of the generated broadcasters, with plausible arguments.  They are
// generated from the catalog, so that no event is forgotten.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fanwire/broadcaster.h"

namespace fanwire::client {

struct BroadcasterCall {
  std::string service;
  std::string event;
  std::vector<std::string> channels;  // where it belongs
  std::function<Status(Publisher* publisher, const EventExtras& extras)> publish;
};

std::vector<BroadcasterCall> BroadcasterCalls();

}  // namespace fanwire::client
