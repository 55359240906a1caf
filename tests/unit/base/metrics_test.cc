// Claims: instruments are found again by name and labels, and the exposition carries their values.
#include "base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cortensor::metrics {
namespace {

using testing::HasSubstr;

TEST(Metrics, ExposesCountersGaugesAndCumulativeBuckets) {
  counter("cortensor_test_things_total", "Things.", "kind=\"a\"").add(3);
  EXPECT_EQ(counter("cortensor_test_things_total", "Things.", "kind=\"a\"").value(), 3u);
  gauge("cortensor_test_level", "Level.").set(-4);
  Histogram& wait = histogram("cortensor_test_wait_seconds", "Waiting.");
  wait.observe_seconds(60e-6);
  wait.observe_seconds(1000);

  const std::string text = exposition();
  EXPECT_THAT(
      text,
      HasSubstr("# TYPE cortensor_test_things_total counter\ncortensor_test_things_total{kind=\"a\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("cortensor_test_level -4\n"));
  EXPECT_THAT(text, HasSubstr("cortensor_test_wait_seconds_bucket{le=\"5e-05\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("cortensor_test_wait_seconds_bucket{le=\"7e-05\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("cortensor_test_wait_seconds_bucket{le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("cortensor_test_wait_seconds_count 2\n"));
}

}  // namespace
}  // namespace cortensor::metrics
