// PublishLoad keeps Fanwire's control busy with publish calls of one kind, as many in flight as
// asked, and counts their receipts.
//
//   EventSource source("bench", "p:", 1000, 512);
//   PublishTally tally;
//   auto load = MakePublishLoad({.kind = PublishKind::kUnary}, &source, &tally);   // runs
//   …
//   source.Stop();
//   load->Wait();
//
// Threading: EventSource and PublishTally are safe from every thread; gRPC's callback threads use
//            them.  PublishLoad belongs to the thread that made it.
// Ownership: a load borrows source and tally until Wait() has returned.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/mutex.h"
#include "fanwire/event.h"
#include "tests/bench/histogram.h"

namespace fanwire::v1 {
class Event;
}

namespace fanwire::bench {

// Hands out events, round robin over the channels `prefix` + 0, `stride`, 2 x `stride` …
class EventSource {
 public:
  EventSource(std::string service, const std::string& prefix, int64_t channels,
              size_t payload_bytes, int64_t stride = 1);

  // Hands out so many events more; without it the source never ends by itself.
  void Limit(int64_t events) { end_ = next_ + events; }
  void Unlimit() { end_ = INT64_MAX; }
  void Stop() { end_ = 0; }

  // Keeps nothing in history.
  void set_skip_history(bool skip) { skip_history_ = skip; }

  // Takes up to `wanted` events; returns how many, 0 at the end, and the number of the first.
  int64_t Take(int64_t wanted, int64_t* first);
  void Fill(int64_t number, v1::Event* event) const;
  // The same for the C++ library; borrows the source.
  client::Event Get(int64_t number) const;

 private:
  const std::string service_;
  const std::string payload_;
  std::vector<std::string> channels_;
  bool skip_history_ = false;
  std::atomic<int64_t> next_{0};
  std::atomic<int64_t> end_{INT64_MAX};
};

// What the receipts said.
class PublishTally {
 public:
  struct Counts {
    int64_t accepted = 0;
    int64_t refused = 0;
    std::string error;  // the first one
  };

  // `events` receipts came `nanoseconds` after they were sent for.
  void Accept(int64_t events, int64_t nanoseconds);
  void Refuse(absl::string_view error);

  // Begins anew.
  void StartMeasuring();
  Counts counts() const;
  double QuantileMs(double quantile) const;

 private:
  mutable Mutex mu_;
  Counts counts_ ABSL_GUARDED_BY(mu_);
  Histogram latency_ ABSL_GUARDED_BY(mu_);
};

enum class PublishKind {
  kUnary,
  kBatch,
  kStream,
  kLibrary,  // the C++ library, with a callback for each receipt; batches are its own
};

struct PublishLoadOptions {
  std::string server;
  PublishKind kind = PublishKind::kUnary;
  int in_flight = 64;  // calls; messages of each stream
  int batch = 256;     // events of a batch call or a stream's message
  int streams = 1;
  int level = 1;  // fanwire.v1.ReceiptLevel
};

class PublishLoad {
 public:
  virtual ~PublishLoad() = default;

  // Waits until the source has ended and every receipt is there.
  virtual void Wait() = 0;
};

std::unique_ptr<PublishLoad> MakePublishLoad(const PublishLoadOptions& options, EventSource* source,
                                             PublishTally* tally);

}  // namespace fanwire::bench
