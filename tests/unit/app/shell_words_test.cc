// Claims: what is printed to be pasted is read back by a shell as the one word it was.
#include "app/shell_words.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace cortensor::app {
namespace {

std::string read_by_shell(const std::string& word) {
  std::string out;
  FILE* shell = ::popen(("printf %s " + word).c_str(), "r");
  for (int c = 0; shell != nullptr && (c = std::fgetc(shell)) != EOF;) out += static_cast<char>(c);
  if (shell != nullptr) ::pclose(shell);
  return out;
}

TEST(ShellWords, AreReadBackAsOne) {
  for (const std::string text :
       {"./cortensor", "/opt/a b/cortensor", "it's", "a;b", "$HOME", "*", "`x`", "ü", "\"q\"", "a\\b"})
    EXPECT_EQ(read_by_shell(shell_word(text)), text);
  EXPECT_EQ(shell_word("../build/cortensor"), "../build/cortensor");
  EXPECT_EQ(shell_word(""), "''");
}

}  // namespace
}  // namespace cortensor::app
