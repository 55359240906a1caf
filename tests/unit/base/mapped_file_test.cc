// Claims: released parts of a mapped file leave this process's memory, whole pages only, and read the same
// later.
#include "base/mapped_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <numeric>
#include <string>

namespace cortensor {
namespace {

// Bytes of files in this process's memory.
std::size_t mapped_and_resident() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0, resident = 0, shared = 0;
  statm >> size >> resident >> shared;
  return shared * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t sum(ByteView bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0});
}

TEST(MappedFile, ReleasedPartsLeaveMemoryAndReadTheSame) {
  constexpr std::size_t kSize = (32 << 20) + 100;
  const std::string path = testing::TempDir() + "mapped_file_" + std::to_string(::getpid());
  std::string text(kSize, 'a');
  for (std::size_t i = 0; i < kSize; i += 997) text[i] = static_cast<char>('b' + i % 20);
  std::ofstream(path, std::ios::binary) << text;
  const auto file = MappedFile::open(path);
  std::remove(path.c_str());
  ASSERT_TRUE(file) << file.error().message;
  const ByteView bytes = file->bytes();
  const std::uint64_t whole = sum(bytes);

  const std::size_t before = mapped_and_resident();
  ASSERT_GE(before, kSize);
  file->release(bytes.subspan(1, 4000));  // no whole page
  EXPECT_EQ(mapped_and_resident(), before);
  file->release(bytes);
  EXPECT_LE(mapped_and_resident(), before - (kSize - (1 << 20)));
  EXPECT_EQ(sum(bytes), whole);
  file->release(bytes.subspan(kSize / 2 + 1));
  EXPECT_EQ(sum(bytes), whole);
}

}  // namespace
}  // namespace cortensor
