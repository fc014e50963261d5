#include "tests/clients/cpp/fake_control.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "gtest/gtest.h"

namespace fanwire::client {

using GrpcStream = grpc::ServerReaderWriter<v1::PublishStreamResponse, v1::PublishStreamRequest>;

struct FakePublishControl::Stream {
  GrpcStream* grpc = nullptr;
  std::string publisher;
  std::vector<v1::ItemReceipt> receipts;  // not sent yet
  int items = 0;
  bool going_away = false;
};

class FakePublishControl::Service final : public v1::Publisher::Service {
 public:
  explicit Service(FakePublishControl* owner) : owner_(owner) {}

  grpc::Status PublishStream(grpc::ServerContext* context, GrpcStream* grpc) override {
    Stream stream;
    stream.grpc = grpc;
    const grpc::Status status = owner_->Serve(context, &stream);
    MutexLock lock(&owner_->mu_);
    owner_->streams_.erase(&stream);
    return status;
  }

 private:
  FakePublishControl* const owner_;
};

FakePublishControl::FakePublishControl(bool start) : service_(std::make_unique<Service>(this)) {
  char folder[] = "/tmp/fanwire-client-XXXXXX";
  folder_ = mkdtemp(folder);
  path_ = folder_ + "/control.sock";
  if (start) Start();
}

FakePublishControl::~FakePublishControl() {
  Stop();
  std::filesystem::remove_all(folder_);
}

void FakePublishControl::Start() {
  {
    MutexLock lock(&mu_);
    stopping_ = false;
  }
  grpc::ServerBuilder builder;
  builder.AddListeningPort(target(), grpc::InsecureServerCredentials());
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr);
}

void FakePublishControl::Stop() {
  if (server_ == nullptr) return;
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_ = nullptr;
}

void FakePublishControl::Forget() {
  MutexLock lock(&mu_);
  accepted_.clear();
}

void FakePublishControl::Set(const Switches& switches) {
  MutexLock lock(&mu_);
  switches_ = switches;
  for (Stream* stream : streams_) SendReceipts(stream);
  changed_.SignalAll();
}

void FakePublishControl::GoAway(const std::string& reason) {
  MutexLock lock(&mu_);
  v1::PublishStreamResponse response;
  response.mutable_go_away()->set_reason(reason);
  for (Stream* stream : streams_) {
    stream->going_away = true;
    stream->grpc->Write(response);
  }
}

grpc::Status FakePublishControl::Serve(grpc::ServerContext* context, Stream* stream) {
  v1::PublishStreamRequest request;
  if (!stream->grpc->Read(&request)) return {grpc::StatusCode::CANCELLED, "no hello"};
  {
    MutexLock lock(&mu_);
    hellos_.push_back(request.hello());
    const auto authorization = context->client_metadata().find("authorization");
    if (authorization != context->client_metadata().end()) {
      authorization_ = {authorization->second.data(), authorization->second.size()};
    }
    if (switches_.silent) {
      while (!context->IsCancelled()) changed_.WaitWithTimeout(&mu_, absl::Milliseconds(5));
      return {grpc::StatusCode::CANCELLED, "silent"};
    }
    stream->publisher = request.hello().publisher_id();
    v1::PublishStreamResponse response;
    if (switches_.garbled) {
      // A text where the receipts' bytes should be: its length is beyond the end.
      response.mutable_go_away()->set_reason("x");
      response.mutable_receipts()
          ->GetReflection()
          ->MutableUnknownFields(response.mutable_receipts())
          ->AddLengthDelimited(1, "\x0f");
    } else {
      response.mutable_welcome()->set_credit(switches_.credit);
    }
    streams_.insert(stream);
    stream->grpc->Write(response);
  }
  while (stream->grpc->Read(&request)) {
    MutexLock lock(&mu_);
    const grpc::Status status = TakeItems(request.items(), stream);
    if (!status.ok()) return status;
    SendReceipts(stream);
  }
  MutexLock lock(&mu_);
  while (!stream->receipts.empty() && !stopping_ && !context->IsCancelled()) {
    changed_.WaitWithTimeout(&mu_, absl::Milliseconds(5));
  }
  return stopping_ ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopped") : grpc::Status::OK;
}

grpc::Status FakePublishControl::TakeItems(const v1::PublishItems& items, Stream* stream) {
  if (items.items_size() > switches_.max_batch) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "items: too many"};
  }
  largest_message_ = std::max(largest_message_, items.items_size());
  if (stream->going_away) sent_after_going_away_ += items.items_size();
  std::vector<v1::ItemReceipt> receipts;
  for (const v1::PublishItem& item : items.items()) {
    if (!switches_.poison.empty() && item.event().event() == switches_.poison) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, "poisoned"};
    }
    ++items_;
    ++stream->items;
    v1::ItemReceipt& receipt = receipts.emplace_back();
    receipt.set_seq(item.seq());
    *receipt.mutable_receipt() = TakeItem(stream->publisher, item);
    if (switches_.break_after > 0 && stream->items >= switches_.break_after) {
      return {grpc::StatusCode::UNAVAILABLE, "broken"};
    }
  }
  if (switches_.reverse_receipts) std::reverse(receipts.begin(), receipts.end());
  stream->receipts.insert(stream->receipts.end(), receipts.begin(), receipts.end());
  most_without_receipt_ = std::max(most_without_receipt_, stream->receipts.size());
  return grpc::Status::OK;
}

v1::Receipt FakePublishControl::TakeItem(const std::string& publisher,
                                         const v1::PublishItem& item) {
  std::map<uint64_t, v1::Receipt>& accepted = accepted_[publisher];
  if (const auto found = accepted.find(item.seq()); found != accepted.end()) {
    ++duplicates_;
    v1::Receipt again = found->second;
    again.set_duplicate(true);
    return again;
  }
  v1::Receipt receipt;
  const auto refusal = switches_.refusals.find(item.event().event());
  if (refusal != switches_.refusals.end()) {
    *receipt.mutable_status() = refusal->second;
    return receipt;
  }
  published_.push_back(item.event());
  receipt.set_id(item.event().id());
  receipt.set_level(v1::RECEIPT_LEVEL_ACCEPTED);
  receipt.mutable_position()->set_epoch("9f86d081884c7d65");
  receipt.mutable_position()->set_offset(++offsets_[item.event().channel()]);
  return accepted[item.seq()] = receipt;
}

void FakePublishControl::SendReceipts(Stream* stream) {
  if (switches_.hold_receipts || stream->receipts.empty()) return;
  v1::PublishStreamResponse response;
  for (v1::ItemReceipt& receipt : std::exchange(stream->receipts, {})) {
    *response.mutable_receipts()->add_receipts() = std::move(receipt);
  }
  stream->grpc->Write(response);
  changed_.SignalAll();
}

std::vector<v1::Event> FakePublishControl::published() {
  MutexLock lock(&mu_);
  return published_;
}

size_t FakePublishControl::items() {
  MutexLock lock(&mu_);
  return items_;
}

int FakePublishControl::largest_message() {
  MutexLock lock(&mu_);
  return largest_message_;
}

size_t FakePublishControl::most_without_receipt() {
  MutexLock lock(&mu_);
  return most_without_receipt_;
}

int FakePublishControl::sent_after_going_away() {
  MutexLock lock(&mu_);
  return sent_after_going_away_;
}

size_t FakePublishControl::duplicates() {
  MutexLock lock(&mu_);
  return duplicates_;
}

std::vector<v1::PublisherHello> FakePublishControl::hellos() {
  MutexLock lock(&mu_);
  return hellos_;
}

size_t FakePublishControl::streams() {
  MutexLock lock(&mu_);
  return streams_.size();
}

std::string FakePublishControl::authorization() {
  MutexLock lock(&mu_);
  return authorization_;
}

}  // namespace fanwire::client
