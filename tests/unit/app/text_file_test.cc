// Claims: a file and a pipe are read whole; what cannot be opened, cannot be read or is too long is an error
// by its name.
#include "app/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace cortensor::app {
namespace {

using ::testing::HasSubstr;

TEST(TextFile, IsReadWhole) {
  std::string path = testing::TempDir() + "text-XXXXXX";
  ::close(::mkstemp(path.data()));
  const std::string text = std::string(2 << 20, 'x') + std::string("\0\n", 2);
  std::ofstream(path, std::ios::binary) << text;
  EXPECT_EQ(*read_text_file(path), text);
  EXPECT_EQ(*read_text_file(path, text.size()), text);
  EXPECT_THAT(read_text_file(path, 1 << 20).error().message, HasSubstr(path + ": larger than 1 MiB"));
  ::unlink(path.c_str());

  FILE* shell = ::popen("printf abc", "r");
  EXPECT_EQ(*read_text_file("/proc/self/fd/" + std::to_string(::fileno(shell))), "abc");
  ::pclose(shell);
}

TEST(TextFile, ThatCannotBeReadIsAnErrorAndNoException) {
  // Missing, opened but not read, and an error of the reading itself.
  for (const std::string path : {"/none/such", "/proc/self", "/proc/self/mem"}) {
    const auto text = read_text_file(path);
    ASSERT_FALSE(text) << path;
    EXPECT_EQ(text.error().kind, ErrorKind::not_found);
    EXPECT_THAT(text.error().message, HasSubstr(path + ": cannot be read: "));
  }
}

}  // namespace
}  // namespace cortensor::app
