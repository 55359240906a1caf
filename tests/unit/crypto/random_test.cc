// Claim: a forked child draws other bytes than its parent and than its sisters.
#include "crypto/random.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <set>

namespace cortensor::crypto {
namespace {

std::uint64_t drawn_by_a_child() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::uint64_t drawn = random_u64();
    ::_exit(::write(ends[1], &drawn, sizeof(drawn)) == sizeof(drawn) ? 0 : 1);
  }
  std::uint64_t drawn = 0;
  EXPECT_EQ(::read(ends[0], &drawn, sizeof(drawn)), sizeof(drawn));
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(ends[0]);
  ::close(ends[1]);
  return drawn;
}

TEST(Random, AForkedChildDrawsForItself) {
  std::set<std::uint64_t> drawn = {random_u64()};
  for (int i = 0; i < 3; ++i) drawn.insert(drawn_by_a_child());
  drawn.insert(random_u64());
  EXPECT_EQ(drawn.size(), 5u);
}

}  // namespace
}  // namespace cortensor::crypto
