// Claims: nothing that a terminal acts upon comes out, whatever goes in; text in any language does.
#include "app/printable.h"

#include <gtest/gtest.h>

namespace cortensor::app {
namespace {

TEST(Printable, TextOfAnyLanguageStays) {
  const std::string text = "naïve Grüße, 城堡 🏰\n\ttabbed ~";
  EXPECT_EQ(printable(text), text);
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, EveryControlGoes) {
  for (int c = 0; c < 0x20; ++c)
    if (c != '\n' && c != '\t') {
      EXPECT_EQ(printable(std::string{'a', static_cast<char>(c), 'b'}), "ab") << c;
    }
  EXPECT_EQ(printable("a\x7f"
                      "b"),
            "ab");
  for (int c = 0x80; c < 0xa0; ++c)
    EXPECT_EQ(printable(std::string{'a', '\xc2', static_cast<char>(c), 'b'}), "ab") << c;
  EXPECT_EQ(printable("\xc2\xa0"), "\xc2\xa0");  // the first one behind them is a space
}

TEST(Printable, EscapeSequencesAreDisarmed) {
  EXPECT_EQ(printable("\x1b[31mred\x1b]0;title\x07"), "[31mred]0;title");
  EXPECT_EQ(printable("VALID\rINVALID"), "VALIDINVALID");
}

TEST(Printable, WhatIsNotUtf8CannotPassForAControl) {
  EXPECT_EQ(printable("a\x9b"
                      "31m"),
            "a\xef\xbf\xbd"
            "31m");
  EXPECT_EQ(printable("\xc2"), "\xef\xbf\xbd");
  EXPECT_EQ(printable("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(printable("\xc0\x9b"), "\xef\xbf\xbd\xef\xbf\xbd");                  // overlong
  EXPECT_EQ(printable("\xe0\x82\x9b"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // likewise
  EXPECT_EQ(printable("\xe2\x1b[m"), "\xef\xbf\xbd[m");
}

TEST(Printable, ALineStaysOneLine) {
  EXPECT_EQ(printable_line("model\nVALID\t\x1b[2K"), "model VALID [2K");
}

}  // namespace
}  // namespace cortensor::app
