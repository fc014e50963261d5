#include "common/metrics.h"

#include <dirent.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/check.h"
#include "common/version.h"

namespace fanwire {
namespace {

class FamilySink final : public MetricSink {
 public:
  void Counter(absl::string_view name, absl::string_view help, double value,
               MetricLabels labels) override {
    Sample(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
  }

  void Gauge(absl::string_view name, absl::string_view help, double value,
             MetricLabels labels) override {
    Sample(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
  }

  void Distribution(absl::string_view name, absl::string_view help,
                    const Histogram::Snapshot& value, MetricLabels labels) override {
    prometheus::ClientMetric& metric =
        Sample(name, help, prometheus::MetricType::Histogram, labels);
    uint64_t cumulative = 0;
    for (size_t i = 0; i < value.counts.size(); ++i) {
      cumulative += value.counts[i];
      metric.histogram.bucket.push_back(
          {cumulative,
           i < value.bounds.size() ? value.bounds[i] : std::numeric_limits<double>::infinity()});
    }
    metric.histogram.sample_count = cumulative;
    metric.histogram.sample_sum = value.sum;
  }

  std::vector<prometheus::MetricFamily> Take() {
    std::vector<prometheus::MetricFamily> families;
    families.reserve(families_.size());
    for (auto& [name, family] : families_) families.push_back(std::move(family));
    return families;
  }

 private:
  prometheus::ClientMetric& Sample(absl::string_view name, absl::string_view help,
                                   prometheus::MetricType type, MetricLabels& labels) {
    prometheus::MetricFamily& family = families_[std::string(name)];
    if (family.name.empty()) {
      family.name = std::string(name);
      family.help = std::string(help);
      family.type = type;
    }
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    for (auto& [key, value] : labels) metric.label.push_back({key, std::move(value)});
    return metric;
  }

  std::map<std::string, prometheus::MetricFamily> families_;
};

int OpenDescriptors() {
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  int count = -3;  // do not count ".", ".." and the descriptor of this listing
  while (readdir(dir) != nullptr) ++count;
  closedir(dir);
  return count;
}

// Unix time at which the system started this process.
double StartTime() {
  // The system counts from the machine's start, in ticks; field 22 of proc_pid_stat(5).  The
  // program's name may contain spaces, so the fields are counted from its closing bracket.
  std::FILE* file = std::fopen("/proc/self/stat", "re");
  if (file == nullptr) return 0;
  std::array<char, 2048> text;
  const size_t size = std::fread(text.data(), 1, text.size(), file);
  std::fclose(file);
  const absl::string_view fields(text.data(), size);
  const std::vector<absl::string_view> rest =
      absl::StrSplit(fields.substr(std::min(fields.rfind(')') + 1, fields.size())), ' ');
  uint64_t ticks = 0;
  if (rest.size() < 21 || !absl::SimpleAtoi(rest[20], &ticks)) return 0;
  timespec now, since_boot;
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_BOOTTIME, &since_boot);
  return static_cast<double>(now.tv_sec - since_boot.tv_sec) +
         1e-9 * static_cast<double>(now.tv_nsec - since_boot.tv_nsec) +
         static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

Histogram::Histogram(absl::Span<const double> bounds) : size_(bounds.size()) {
  FANWIRE_CHECK(bounds.size() <= kMaxBounds);
  for (size_t i = 0; i < size_; ++i) bounds_[i] = bounds[i];
}

void Histogram::Observe(double value) {
  size_t i = 0;
  while (i < size_ && value > bounds_[i]) ++i;
  counts_[i].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot result;
  result.bounds.assign(bounds_.begin(), bounds_.begin() + static_cast<ptrdiff_t>(size_));
  for (size_t i = 0; i <= size_; ++i) {
    result.counts.push_back(counts_[i].load(std::memory_order_relaxed));
  }
  result.sum = sum_.load(std::memory_order_relaxed);
  return result;
}

void MetricsRegistry::Add(Collector collector) {
  MutexLock lock(&mu_);
  collectors_.push_back(std::move(collector));
}

std::string MetricsRegistry::Text() const {
  std::vector<Collector> collectors;
  {
    MutexLock lock(&mu_);
    collectors = collectors_;
  }
  FamilySink sink;
  for (const Collector& collector : collectors) collector(sink);
  return prometheus::TextSerializer().Serialize(sink.Take());
}

uint64_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long size = 0, resident = 0;
  const int read = std::fscanf(file, "%lu %lu", &size, &resident);
  std::fclose(file);
  return read == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

double CpuSeconds() {
  rusage use;
  getrusage(RUSAGE_SELF, &use);
  return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

void CollectProcess(MetricSink& sink) {
  static const double started = StartTime();
  sink.Gauge("fanwire_build_info", "Always 1; the labels have version and build.", 1,
             {{"version", std::string(kVersion)}, {"build", BuildInfo()}});
  sink.Gauge("process_resident_memory_bytes", "Resident memory.",
             static_cast<double>(ResidentBytes()));
  sink.Counter("process_cpu_seconds_total", "CPU time, user and system.", CpuSeconds());
  sink.Gauge("process_open_fds", "Open file descriptors.", OpenDescriptors());
  sink.Gauge("process_start_time_seconds", "Start time of the process, Unix time in seconds.",
             started);
}

}  // namespace fanwire
