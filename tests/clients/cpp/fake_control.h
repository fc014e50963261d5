// FakePublishControl is a gRPC server that stands in for control's PublishStream: it accepts each
// seq of a publisher once and sends receipts, as control does, and has switches for what can go
// wrong.
//
// Threading: safe from every thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "fanwire/v1/publish.grpc.pb.h"

namespace fanwire::client {

class FakePublishControl {
 public:
  // Listens at a unix socket in a folder of its own, if `start`.
  explicit FakePublishControl(bool start = true);
  ~FakePublishControl();
  FakePublishControl(const FakePublishControl&) = delete;
  FakePublishControl& operator=(const FakePublishControl&) = delete;

  std::string target() const { return "unix:" + path_; }

  void Start();
  // Ends all streams and listens no more.  Keeps what it knows.
  void Stop();
  // Forgets the seqs of all publishers, as a control that was restarted.
  void Forget();

  struct Switches {
    uint32_t credit = 1000;
    // Receipts wait until this is false again.
    bool hold_receipts = false;
    // The receipts of a message come in reverse order.
    bool reverse_receipts = false;
    // After so many items a stream breaks; the receipts of its last message are lost.
    int break_after = 0;
    // A message of more items ends the stream.
    int max_batch = 10000;
    // An item of this event ends the stream.
    std::string poison = {};
    // Answers no hello.
    bool silent = false;
    // Answers hello with bytes that are no message.
    bool garbled = false;
    // The receipts of events with these names.
    std::map<std::string, v1::Status> refusals = {};
  };
  void Set(const Switches& switches);

  // Tells every stream to go away.
  void GoAway(const std::string& reason);

  // The events that were accepted, in order.
  std::vector<v1::Event> published();
  // Items that came, also again.
  size_t items();
  // The most items of a message, and the most that one stream had without a receipt.
  int largest_message();
  size_t most_without_receipt();
  // Items that came on a stream after GoAway().
  int sent_after_going_away();
  size_t duplicates();
  std::vector<v1::PublisherHello> hellos();
  // Streams that are open.
  size_t streams();
  std::string authorization();

 private:
  class Service;
  struct Stream;

  grpc::Status Serve(grpc::ServerContext* context, Stream* stream);
  // Takes a message; an error ends the stream.
  grpc::Status TakeItems(const v1::PublishItems& items, Stream* stream)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  v1::Receipt TakeItem(const std::string& publisher, const v1::PublishItem& item)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SendReceipts(Stream* stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  std::string folder_;
  std::string path_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;

  Mutex mu_;
  CondVar changed_;
  Switches switches_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::set<Stream*> streams_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::map<uint64_t, v1::Receipt>> accepted_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int64_t> offsets_ ABSL_GUARDED_BY(mu_);  // by channel
  std::vector<v1::Event> published_ ABSL_GUARDED_BY(mu_);
  size_t items_ ABSL_GUARDED_BY(mu_) = 0;
  int largest_message_ ABSL_GUARDED_BY(mu_) = 0;
  size_t most_without_receipt_ ABSL_GUARDED_BY(mu_) = 0;
  int sent_after_going_away_ ABSL_GUARDED_BY(mu_) = 0;
  size_t duplicates_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<v1::PublisherHello> hellos_ ABSL_GUARDED_BY(mu_);
  std::string authorization_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::client
