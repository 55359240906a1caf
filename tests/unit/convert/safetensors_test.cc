// Claims: a good file's tensors are found with their bytes; every way in which a file can contradict itself
// is refused by name; no prefix of a file and no changed byte makes the reader misbehave.
#include "convert/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace cortensor::convert {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Bytes file_of(std::string_view header, std::size_t data_bytes) {
  ByteWriter out;
  out.number(std::uint64_t{header.size()});
  out.raw(bytes_of(header));
  for (std::size_t i = 0; i < data_bytes; ++i) out.number(static_cast<std::uint8_t>(i));
  return out.take();
}

constexpr std::string_view kGood =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[3],"data_offsets":[8,14]},)"
    R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"c":{"dtype":"U8","shape":[],"data_offsets":[14,15]}}  )";

TEST(Safetensors, TensorsAreFoundWithTheirBytes) {
  const Bytes bytes = file_of(kGood, 15);
  const auto file = SafetensorsFile::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors().size(), 3u);
  const StoredTensor* b = file->find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, "F16");
  EXPECT_THAT(b->shape, ElementsAre(3));
  EXPECT_THAT(b->data, ElementsAre(8, 9, 10, 11, 12, 13));
  EXPECT_THAT(file->find("a")->shape, ElementsAre(2, 1));
  EXPECT_EQ(file->find("c")->data.size(), 1u);
  EXPECT_EQ(file->find("__metadata__"), nullptr);
}

struct Broken {
  std::string header;
  std::size_t data_bytes;
  std::string message;
};

TEST(Safetensors, ContradictionsAreNamed) {
  const auto one = [](std::string_view dtype, std::string_view shape, std::string_view offsets) {
    return R"({"t":{"dtype":")" + std::string(dtype) + R"(","shape":)" + std::string(shape) +
           R"(,"data_offsets":)" + std::string(offsets) + "}}";
  };
  const Broken cases[] = {
      {"[]", 0, "no JSON object"},
      {R"({"t":)", 0, "no JSON object"},
      {R"({"t":5})", 0, "tensor t: expected an object"},
      {R"({"t":{"dtype":"F32","shape":[1]}})", 4, "data_offsets"},
      {one("F31", "[1]", "[0,4]"), 4, "dtype F31 is not known"},
      {one("F32", "[-1]", "[0,4]"), 4, "whole numbers"},
      {one("F32", "[1.0]", "[0,4]"), 4, "whole numbers"},
      {one("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "at most 8"},
      {one("F32", "[4294967296,4294967296]", "[0,0]"), 0, "too many elements"},
      {one("F32", "[2]", "[0,4]"), 4, "expected 8 bytes, found 4"},
      {one("F32", "[1]", "[4,0]"), 4, "data_offsets 4 to 0"},
      {one("F32", "[1]", "[0,18446744073709551615]"), 4, "in 4 bytes of data"},
      {one("F32", "[1]", "[0,18446744073709551616]"), 4, "two whole numbers"},
      {one("F32", "[1]", "[4,8]"), 8, "expected to begin at byte 0"},
      {one("F32", "[1]", "[0,4]"), 5, "end at byte 4 of 5"},
      {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[3],"data_offsets":[2,5]}})",
       5, "tensor b: expected to begin at byte 3 of the data, found 2"},
      {R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
       1, "tensor t stands there twice"},
      {R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "name"},
  };
  for (const Broken& broken : cases) {
    const auto file = SafetensorsFile::parse(file_of(broken.header, broken.data_bytes));
    ASSERT_FALSE(file) << broken.header;
    EXPECT_THAT(file.error().message, HasSubstr(broken.message)) << broken.header;
  }
  Bytes long_header = file_of("{}", 0);
  long_header[7] = 0x80;
  EXPECT_THAT(SafetensorsFile::parse(long_header).error().message, HasSubstr("a header of"));
}

TEST(Safetensors, NoPrefixAndNoChangedByteMisleads) {
  const Bytes whole = file_of(kGood, 15);
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(SafetensorsFile::parse(ByteView(whole).first(size))) << size;
  for (std::size_t at = 0; at < 8 + kGood.size(); ++at)
    for (const int flip : {1, 2, 16, 128}) {
      Bytes changed = whole;
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ flip);
      const auto file = SafetensorsFile::parse(changed);
      if (!file) continue;
      for (const auto& [name, tensor] : file->tensors())
        EXPECT_TRUE(tensor.data.empty() ||
                    (tensor.data.data() >= changed.data() && &tensor.data.back() <= &changed.back()));
    }
}

}  // namespace
}  // namespace cortensor::convert
