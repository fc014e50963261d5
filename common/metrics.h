// Metrics as Prometheus reads them.
//
// Nothing is registered on hot paths: whoever counts keeps plain integers and hands them over in a
// collector when somebody scrapes.
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

// A distribution with fixed upper bounds, counted without locks.
class Histogram {
 public:
  static constexpr size_t kMaxBounds = 16;

  // `bounds` ascend; at most kMaxBounds.
  explicit Histogram(absl::Span<const double> bounds);

  void Observe(double value);

  struct Snapshot {
    std::vector<double> bounds;
    std::vector<uint64_t> counts;  // one more than bounds
    double sum = 0;
  };
  Snapshot snapshot() const;

 private:
  size_t size_;
  std::array<double, kMaxBounds> bounds_;
  std::array<std::atomic<uint64_t>, kMaxBounds + 1> counts_ = {};
  std::atomic<double> sum_{0};
};

// What a collector writes to.  Samples of one name may come in any order; help and type are those
// of its first sample.
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
  mutable Mutex mu_;
  std::vector<Collector> collectors_ ABSL_GUARDED_BY(mu_);
};

// fanwire_build_info and the process_* metrics (memory, CPU, descriptors, start time).
void CollectProcess(MetricSink& sink);

// Resident memory of this process, bytes, and CPU time it has used, seconds.
uint64_t ResidentBytes();
double CpuSeconds();

}  // namespace fanwire
