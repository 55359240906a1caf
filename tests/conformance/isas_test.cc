// What was not tested here, in one line.
#include "support/isas.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace cortensor::test {
namespace {

TEST(Isas, AreAllOnThisMachine) {
  std::string lacking;
  for (const std::string isa : kIsas) {
    const auto here = isas_here();
    if (std::find(here.begin(), here.end(), isa) == here.end()) lacking += " " + isa;
  }
  if (!lacking.empty()) GTEST_SKIP() << "not on this machine, and not tested:" << lacking;
}

}  // namespace
}  // namespace cortensor::test
