#include "fanout/client_requests.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fanwire::fanout {

absl::Status ClientRequests::CheckRoom(size_t bytes) const {
  if (requests_.size() >= kMaxRequests) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more than ", kMaxRequests, " requests without an answer"));
  }
  if (!requests_.empty() && bytes_ + bytes > kMaxBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("requests without an answer have more than ", kMaxBytes, " bytes"));
  }
  return absl::OkStatus();
}

void ClientRequests::Add(uint64_t ask, Request request) {
  bytes_ += request.bytes;
  requests_[ask] = std::move(request);
}

std::optional<ClientRequests::Request> ClientRequests::Take(uint64_t ask) {
  const auto it = requests_.find(ask);
  if (it == requests_.end()) return std::nullopt;
  Request request = std::move(it->second);
  requests_.erase(it);
  bytes_ -= request.bytes;
  return request;
}

const ClientRequests::Request* ClientRequests::Find(uint64_t ask) const {
  const auto it = requests_.find(ask);
  return it == requests_.end() ? nullptr : &it->second;
}

absl::Duration ClientRequests::deadline() const {
  absl::Duration first = absl::InfiniteDuration();
  for (const auto& [ask, request] : requests_) first = std::min(first, request.deadline);
  return first;
}

std::vector<uint64_t> ClientRequests::Late(absl::Duration now) const {
  std::vector<uint64_t> late;
  for (const auto& [ask, request] : requests_) {
    if (now >= request.deadline) late.push_back(ask);
  }
  std::sort(late.begin(), late.end());
  return late;
}

}  // namespace fanwire::fanout
