// Claims: binary readers never read past their end, and hexadecimal has one spelling per value.
#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/hex.h"

namespace cortensor {
namespace {

TEST(ByteReader, ReadsWhatTheWriterWrote) {
  ByteWriter writer;
  writer.number(std::uint32_t{7});
  writer.text("hello");
  ByteReader reader(writer.bytes());
  EXPECT_EQ(reader.number<std::uint32_t>(), 7u);
  EXPECT_EQ(reader.text(100), "hello");
  EXPECT_FALSE(reader.failed());
  EXPECT_EQ(reader.left(), 0u);
}

TEST(ByteReader, FailsForGoodAfterTheFirstShortRead) {
  const Bytes three{1, 2, 3};
  ByteReader reader(three);
  EXPECT_EQ(reader.number<std::uint32_t>(), 0u);
  EXPECT_TRUE(reader.failed());
  EXPECT_EQ(reader.number<std::uint8_t>(), 0u);
}

TEST(ByteReader, RefusesATextLongerThanItsLimit) {
  ByteWriter writer;
  writer.text("hello");
  ByteReader reader(writer.bytes());
  EXPECT_EQ(reader.text(4), "");
  EXPECT_TRUE(reader.failed());
}

TEST(Hex, RoundTripsAndRefusesUpperCase) {
  const Bytes bytes{0x00, 0xab, 0xff};
  EXPECT_EQ(to_hex(bytes), "00abff");
  EXPECT_EQ(from_hex("00abff").value(), bytes);
  EXPECT_FALSE(from_hex("00ABFF"));
  EXPECT_FALSE(from_hex("0"));
  EXPECT_FALSE(bytes32_from_hex("00abff"));
}

}  // namespace
}  // namespace cortensor
