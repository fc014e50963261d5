// MetricsRegistry collects metrics and writes them in Prometheus' format.
//
// Hot paths do not use it: a class that counts keeps plain integers, and a collector, which runs at
// each scrape, passes them on.
//
// Threading: MetricsRegistry and Histogram are safe from every thread; collectors run on the
//            scraping thread, one scrape at a time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/mutex.h"

namespace fanwire {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// A distribution that counts values by fixed upper bounds, without locks.
class Histogram {
 public:
  static constexpr size_t kMaxBounds = 16;

  // `bounds` must ascend; at most kMaxBounds of them.
  explicit Histogram(absl::Span<const double> bounds);

  void Observe(double value);

  struct Snapshot {
    std::vector<double> bounds;
    std::vector<uint64_t> counts;  // one more than `bounds`
    double sum = 0;
  };
  Snapshot snapshot() const;

 private:
  size_t size_;
  std::array<double, kMaxBounds> bounds_;
  std::array<std::atomic<uint64_t>, kMaxBounds + 1> counts_ = {};
  std::atomic<double> sum_{0};
};

// Receives the samples of collectors.  Samples of one name may come in any order; the first one
// determines the help text and the type.
class MetricSink {
 public:
  virtual ~MetricSink() = default;
  virtual void Counter(absl::string_view name, absl::string_view help, double value,
                       MetricLabels labels = {}) = 0;
  virtual void Gauge(absl::string_view name, absl::string_view help, double value,
                     MetricLabels labels = {}) = 0;
  virtual void Distribution(absl::string_view name, absl::string_view help,
                            const Histogram::Snapshot& value, MetricLabels labels = {}) = 0;
};

class MetricsRegistry {
 public:
  using Collector = std::function<void(MetricSink&)>;

  void Add(Collector collector);

  // All metrics in Prometheus' text exposition format, version 0.0.4.
  std::string Text() const;

 private:
  mutable Mutex mu_{LockRank::kMetrics};
  std::vector<Collector> collectors_ ABSL_GUARDED_BY(mu_);
};

// Collects fanwire_build_info and the process_* metrics: memory, CPU, descriptors, start time.
void CollectProcess(MetricSink& sink);

// The resident memory of this process in bytes, and the CPU time that it has used in seconds.
uint64_t ResidentBytes();
double CpuSeconds();

}  // namespace fanwire
