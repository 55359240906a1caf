// The process runs the kernels it was told to run, says so when it can't, and refuses kernels that compute
// other bits.
#include "compute/cpu/dispatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "compute/backend.h"
#include "support/isas.h"

namespace cortensor::compute {
namespace {

using ::testing::HasSubstr;

TEST(Dispatch, EveryAvailableTablePassesItsSelfTest) {
  for (const KernelTable* table : available_kernels()) {
    const Status status = self_test(*table);
    EXPECT_TRUE(status) << table->name << ": " << status.error().message;
  }
}

TEST(Dispatch, TheForcedTableIsTheActiveOne) {
  for (const KernelTable* table : available_kernels()) {
    const auto chosen = choose_kernels(table->name);
    ASSERT_TRUE(chosen);
    EXPECT_EQ(*chosen, table);
    const auto backend = make_cpu_backend({2, table->name});
    ASSERT_TRUE(backend);
    EXPECT_EQ((*backend)->name(), "cpu " + std::string(table->name) + ", 2 threads");
  }
}

TEST(Dispatch, TheEnvironmentForcesATableAndTheArgumentOverridesIt) {
  ASSERT_EQ(::setenv("CORTENSOR_ISA", "scalar", 1), 0);
  EXPECT_EQ(*choose_kernels(""), scalar_kernels());
  const KernelTable* best = available_kernels().back();
  EXPECT_EQ(*choose_kernels(best->name), best);
  ASSERT_EQ(::unsetenv("CORTENSOR_ISA"), 0);
  EXPECT_EQ(*choose_kernels(""), best);
}

TEST(Dispatch, AnUnknownNameIsNamedInTheError) {
  const auto chosen = choose_kernels("mmx");
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().kind, ErrorKind::invalid_input);
  EXPECT_THAT(chosen.error().message, HasSubstr("found 'mmx'"));
}

TEST(Dispatch, ATableOfOtherProcessorsIsRefused) {
  const auto chosen = choose_kernels(test::kForeignIsa);
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().kind, ErrorKind::unsupported);
  EXPECT_THAT(chosen.error().message, HasSubstr("this machine has only scalar"));
}

// One kernel at a time is replaced by one that is wrong in a last bit.
TEST(Dispatch, ATableThatComputesOtherBitsIsRefused) {
  KernelTable wrong = *scalar_kernels();
  wrong.swiglu = [](const float* gate, const float* up, size_t n, float* out) {
    scalar_kernels()->swiglu(gate, up, n, out);
    out[n - 1] = out[n - 1] * 1.0000001f;
  };
  const Status gate = self_test(wrong);
  ASSERT_FALSE(gate);
  EXPECT_THAT(gate.error().message, HasSubstr("the gate"));

  wrong = *scalar_kernels();
  constexpr auto kType = static_cast<std::size_t>(arith::WeightType::q5_k);
  wrong.matmul[kType] = [](const MatmulArgs* args) {
    scalar_kernels()->matmul[kType](args);
    args->out[0] += args->out[0] * 1e-7f;
  };
  const Status product = self_test(wrong);
  ASSERT_FALSE(product);
  EXPECT_THAT(product.error().message, HasSubstr("weight type 13"));
}

}  // namespace
}  // namespace cortensor::compute
