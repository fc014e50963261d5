#include "common/metrics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

using ::testing::HasSubstr;

TEST(MetricsTest, CollectorsAreAskedAtEachScrape) {
  MetricsRegistry registry;
  int value = 1;
  registry.Add([&](MetricSink& sink) {
    sink.Counter("fanwire_things_total", "Things.", value, {{"service", "a\"b"}});
    sink.Gauge("fanwire_level", "Level.", -2.5);
  });
  EXPECT_THAT(registry.Text(), HasSubstr("fanwire_things_total{service=\"a\\\"b\"} 1"));
  value = 7;
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("# HELP fanwire_things_total Things.\n"
                              "# TYPE fanwire_things_total counter\n"));
  EXPECT_THAT(text, HasSubstr("} 7"));
  EXPECT_THAT(text, HasSubstr("fanwire_level -2.5"));
}

TEST(MetricsTest, SamplesOfOneNameAreOneFamily) {
  MetricsRegistry registry;
  for (const char* name : {"a", "b"}) {
    registry.Add([name](MetricSink& sink) {
      sink.Counter("fanwire_x_total", "X.", 1, {{"service", name}});
    });
  }
  const std::string text = registry.Text();
  EXPECT_EQ(text.find("# TYPE fanwire_x_total"), text.rfind("# TYPE fanwire_x_total"));
  EXPECT_THAT(text, HasSubstr("service=\"a\""));
  EXPECT_THAT(text, HasSubstr("service=\"b\""));
}

TEST(HistogramTest, CountsIntoItsBuckets) {
  Histogram histogram({0.1, 1.0});
  histogram.Observe(0.05);
  histogram.Observe(0.1);
  histogram.Observe(0.5);
  histogram.Observe(3);
  EXPECT_THAT(histogram.snapshot().counts, testing::ElementsAre(2, 1, 1));
  EXPECT_DOUBLE_EQ(histogram.snapshot().sum, 3.65);
  MetricsRegistry registry;
  registry.Add([&](MetricSink& sink) {
    sink.Distribution("fanwire_seconds", "Time.", histogram.snapshot());
  });
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("fanwire_seconds_bucket{le=\"1\"} 3"));
  EXPECT_THAT(text, HasSubstr("fanwire_seconds_bucket{le=\"+Inf\"} 4"));
  EXPECT_THAT(text, HasSubstr("fanwire_seconds_count 4"));
}

TEST(MetricsTest, ProcessMetricsAreReal) {
  MetricsRegistry registry;
  registry.Add(CollectProcess);
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("fanwire_build_info{"));
  EXPECT_THAT(text, HasSubstr("process_open_fds"));
  EXPECT_GT(ResidentBytes(), 1'000'000u);
  EXPECT_GT(CpuSeconds(), 0);
}

}  // namespace
}  // namespace fanwire
