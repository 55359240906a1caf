// Claims: what the writer wrote the reader reads; every way in which a file can contradict itself is an error
// that names the thing; no prefix of a file and no changed byte makes the reader misbehave; weights that are
// not finite are found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "crypto/sha256.h"
#include "engine/gguf_file.h"
#include "engine/gguf_writer.h"
#include "temporary_folder.h"

namespace cortensor::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint32_t kF32 = 0;

// Spells a file out field by field, so that each field can be wrong.
struct RawFile {
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t tensor_count = 0, metadata_count = 0;
  ByteWriter body;
  std::size_t data_bytes = 0;

  static void put_string(ByteWriter& writer, std::string_view text) {
    writer.number(std::uint64_t{text.size()});
    writer.raw(bytes_of(text));
  }
  void key(std::string_view name, std::uint32_t type) {
    ++metadata_count;
    put_string(body, name);
    body.number(type);
  }
  void tensor(std::string_view name, std::vector<std::uint64_t> dims, std::uint32_t type,
              std::uint64_t offset) {
    ++tensor_count;
    put_string(body, name);
    body.number(static_cast<std::uint32_t>(dims.size()));
    for (const auto dim : dims) body.number(dim);
    body.number(type);
    body.number(offset);
  }
  Bytes bytes() const {
    ByteWriter out;
    out.raw(bytes_of(magic));
    out.number(version);
    out.number(tensor_count);
    out.number(metadata_count);
    out.raw(body.bytes());
    Bytes all = out.take();
    if (data_bytes > 0) all.resize((all.size() + 31) / 32 * 32 + data_bytes);
    return all;
  }
};

Bytes small_file() {
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  writer.add_u32("count", 7);
  writer.add_f32("eps", 0.5f);
  writer.add_bool("flag", true);
  const std::vector<std::string> texts{"a", "", "long enough"};
  writer.add_strings("texts", texts);
  const std::vector<std::int32_t> numbers{1, -2, 3};
  writer.add_i32s("numbers", numbers);
  const std::vector<float> scores{0.25f, -1.0f};
  writer.add_f32s("scores", scores);
  const std::vector<std::uint64_t> matrix{32, 2}, vector{3};
  writer.add_tensor("matrix", matrix, TensorType::q8_0);
  writer.add_tensor("vector", vector, TensorType::f32);
  const Bytes blocks(68, 1), floats(12, 2);
  const std::vector<ByteView> data{blocks, floats};
  return writer.to_bytes(data);
}

TEST(Gguf, ReadsWhatTheWriterWrote) {
  const Bytes bytes = small_file();
  const auto file = GgufFile::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(*file->get_string("general.architecture"), "llama");
  EXPECT_EQ(*file->get_u32("count"), 7u);
  EXPECT_EQ(*file->get_f32("eps"), 0.5f);
  EXPECT_TRUE(*file->get_bool("flag"));
  EXPECT_THAT(*file->get_strings("texts"), ElementsAre("a", "", "long enough"));
  EXPECT_THAT(*file->get_i32s("numbers"), ElementsAre(1, -2, 3));
  EXPECT_THAT(*file->get_f32s("scores"), ElementsAre(0.25f, -1.0f));
  const auto matrix = file->tensor("matrix");
  ASSERT_TRUE(matrix);
  EXPECT_EQ(matrix->cols(), 32u);
  EXPECT_EQ(matrix->rows(), 2u);
  EXPECT_EQ(matrix->row_bytes(), 34u);
  EXPECT_EQ(matrix->data[0], 1);
  EXPECT_EQ(file->tensor("vector")->data.size(), 12u);
  EXPECT_EQ(file->tensor("nothing").error().kind, ErrorKind::not_found);
  EXPECT_EQ(file->get_u32("nothing").error().kind, ErrorKind::not_found);
  EXPECT_THAT(file->get_u32("eps").error().message, HasSubstr("metadata eps: expected an integer"));
  EXPECT_THAT(file->get_strings("numbers").error().message, HasSubstr("found array of i32"));
  EXPECT_EQ(file->get_bool("count").error().kind, ErrorKind::corrupt);
  EXPECT_EQ(weights_digest(*file), crypto::sha256(bytes));
}

TEST(Gguf, ValuesSurviveACopyThroughTheWriter) {
  const Bytes bytes = small_file();
  const auto file = GgufFile::parse(bytes);
  ASSERT_TRUE(file);
  GgufWriter copy;
  for (const auto& [key, value] : file->metadata()) copy.add_value(key, value);
  std::vector<ByteView> data;
  for (const TensorInfo& tensor : file->tensors()) {
    copy.add_tensor(tensor.name, std::span(tensor.dims).first(tensor.rank), tensor.type);
    data.push_back(tensor.data);
  }
  EXPECT_EQ(copy.to_bytes(data), bytes);
}

// A file with one S8 matrix of 544 columns and two rows, described as the caller likes.
Bytes native_file(std::string_view profile, std::string_view name, std::uint64_t row_bytes) {
  RawFile file;
  if (!profile.empty()) {
    file.key("cortensor.profile", 8);
    file.body.number(static_cast<std::uint64_t>(profile.size()));
    file.body.raw(bytes_of(profile));
  }
  file.tensor(name, {row_bytes, 2}, 24, 0);
  file.data_bytes = 2 * row_bytes;
  return file.bytes();
}

TEST(Gguf, NativeMatricesLieAsBytes) {
  const std::uint64_t s8 = arith::row_bytes(TensorType::s8, 544), s4 = arith::row_bytes(TensorType::s4, 544);
  GgufWriter writer;
  writer.add_string("cortensor.profile", "S512");
  const std::vector<std::uint64_t> dims{544, 2};
  writer.add_tensor("a.weight", dims, TensorType::s8);
  writer.add_tensor("b.weight", dims, TensorType::s4);
  const Bytes a(2 * s8, 0), b(2 * s4, 0);
  const std::vector<ByteView> data{a, b};
  const Bytes bytes = writer.to_bytes(data);
  const auto file = GgufFile::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  for (const auto& [name, type, row] :
       {std::tuple{"a.weight", TensorType::s8, s8}, {"b.weight", TensorType::s4, s4}}) {
    const auto tensor = file->tensor(name);
    ASSERT_TRUE(tensor);
    EXPECT_EQ(tensor->type, type);
    EXPECT_EQ(tensor->cols(), 544u);
    EXPECT_EQ(tensor->rows(), 2u);
    EXPECT_EQ(tensor->row_bytes(), row);
    EXPECT_TRUE(check_weights(*tensor));
  }
  EXPECT_TRUE(GgufFile::parse(native_file("S512", "a.weight.s8", s8)));
  const auto refused = [](const Bytes& wrong) { return GgufFile::parse(wrong).error().message; };
  EXPECT_THAT(refused(native_file("", "a.weight.s8", s8)), HasSubstr("type I8 is not supported"));
  EXPECT_THAT(refused(native_file("S513", "a.weight.s8", s8)), HasSubstr("expected S512, found S513"));
  EXPECT_THAT(refused(native_file("S512", "a.weight", s8)), HasSubstr("ends in .s8 or .s4"));
  EXPECT_THAT(refused(native_file("S512", "a.weight.s8", s8 + 1)), HasSubstr("no native row has 553 bytes"));
  EXPECT_THAT(refused(native_file("S512", "a.weight.s8", 4)), HasSubstr("no native row has 4 bytes"));
}

TEST(Gguf, NativeWeightsOutOfRangeAreNamed) {
  const std::uint64_t row = arith::row_bytes(TensorType::s8, 544);
  Bytes bytes = native_file("S512", "a.weight.s8", row);
  bytes[bytes.size() - row + 4] = 0x80;
  const auto file = GgufFile::parse(bytes);
  ASSERT_TRUE(file);
  EXPECT_THAT(check_weights(*file).error().message,
              HasSubstr("tensor a.weight: expected scales and codes of the native profile, row 1"));
}

TEST(Gguf, EveryTruncationIsAnErrorUntilTheLastTensorIsWhole) {
  const Bytes bytes = small_file();
  const std::size_t whole = bytes.size() - 20;  // the padding after the last tensor is not needed
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const Bytes part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(
                                                        size));  // own block: ASan sees reads past it
    EXPECT_EQ(GgufFile::parse(part).has_value(), size >= whole) << size;
  }
}

TEST(Gguf, EveryChangedByteIsReadSafely) {
  const Bytes bytes = small_file();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      Bytes changed = bytes;
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ flip);
      const auto file = GgufFile::parse(changed);
      if (!file) continue;
      for (const TensorInfo& tensor : file->tensors()) {
        ASSERT_GE(tensor.data.data(), changed.data());
        ASSERT_LE(tensor.data.data() + tensor.data.size(), changed.data() + changed.size());
      }
    }
  }
}

struct BrokenFile {
  std::string name;
  std::function<void(RawFile&)> make;
  ErrorKind kind;
  std::string message;
};

void PrintTo(const BrokenFile& file, std::ostream* out) {
  *out << file.name;
}

class GgufBroken : public ::testing::TestWithParam<BrokenFile> {};

TEST_P(GgufBroken, IsRefusedWithTheNameOfTheThing) {
  RawFile raw;
  GetParam().make(raw);
  const auto file = GgufFile::parse(raw.bytes());
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().kind, GetParam().kind) << file.error().message;
  EXPECT_THAT(file.error().message, HasSubstr(GetParam().message));
}

const BrokenFile kBroken[] = {
    {"Magic", [](RawFile& f) { f.magic = "GGML"; }, ErrorKind::corrupt, "not a GGUF file"},
    {"Version", [](RawFile& f) { f.version = 2; }, ErrorKind::unsupported,
     "GGUF version: expected 3, found 2"},
    {"BigEndian", [](RawFile& f) { f.version = 3u << 24; }, ErrorKind::unsupported, "big-endian"},
    {"TensorCount", [](RawFile& f) { f.tensor_count = ~0ull; }, ErrorKind::corrupt, "tensors at most"},
    {"MetadataCount", [](RawFile& f) { f.metadata_count = 1ull << 40; }, ErrorKind::corrupt,
     "metadata keys at most"},
    {"MissingMetadata", [](RawFile& f) { f.metadata_count = 1; }, ErrorKind::corrupt,
     "metadata key 0: the file ends"},
    {"KeyLength", [](RawFile& f) { f.metadata_count = 1, f.body.number(~0ull); }, ErrorKind::corrupt,
     "a string of 18446744073709551615 bytes in the 0 that are left"},
    {"EmptyKey", [](RawFile& f) { f.key("", 4), f.body.number(1u); }, ErrorKind::corrupt,
     "expected 1 to 256 bytes, found 0"},
    {"ValueType", [](RawFile& f) { f.key("k", 13); }, ErrorKind::corrupt,
     "metadata k: unknown value type 13"},
    {"Boolean", [](RawFile& f) { f.key("k", 7), f.body.number(std::uint8_t{2}); }, ErrorKind::corrupt,
     "metadata k: a boolean"},
    {"StringValue", [](RawFile& f) { f.key("k", 8), f.body.number(std::uint64_t{9}); }, ErrorKind::corrupt,
     "metadata k: a string of 9 bytes"},
    {"NestedArray", [](RawFile& f) { f.key("k", 9), f.body.number(9u); }, ErrorKind::unsupported,
     "arrays of arrays"},
    {"ArrayType", [](RawFile& f) { f.key("k", 9), f.body.number(99u); }, ErrorKind::corrupt,
     "unknown value type 99"},
    {"ArrayCount", [](RawFile& f) { f.key("k", 9), f.body.number(4u), f.body.number(1ull << 62); },
     ErrorKind::corrupt, "an array of 4611686018427387904 u32"},
    {"StringArrayCount", [](RawFile& f) { f.key("k", 9), f.body.number(8u), f.body.number(1ull << 61); },
     ErrorKind::corrupt, "an array of 2305843009213693952 string"},
    {"TwiceTheSameKey",
     [](RawFile& f) {
       for (int i = 0; i < 2; ++i) f.key("k", 4), f.body.number(1u);
     },
     ErrorKind::corrupt, "metadata k stands there twice"},
    {"AlignmentNoPower", [](RawFile& f) { f.key("general.alignment", 4), f.body.number(24u); },
     ErrorKind::corrupt, "general.alignment: expected a power of two"},
    {"AlignmentZero", [](RawFile& f) { f.key("general.alignment", 4), f.body.number(0u); },
     ErrorKind::corrupt, "general.alignment: expected a power of two"},
    {"AlignmentType", [](RawFile& f) { f.key("general.alignment", 8), RawFile::put_string(f.body, "x"); },
     ErrorKind::corrupt, "expected an integer"},
    {"NoDimensions", [](RawFile& f) { f.tensor("t", {}, kF32, 0); }, ErrorKind::corrupt,
     "tensor t: expected 1 to 4 dimensions, found 0"},
    {"FiveDimensions",
     [](RawFile& f) {
       f.tensor("t", {1, 1, 1, 1, 1}, kF32, 0);
     },
     ErrorKind::corrupt, "found 5"},
    {"ZeroDimension",
     [](RawFile& f) {
       f.tensor("t", {4, 0}, kF32, 0);
     },
     ErrorKind::corrupt, "dimension 1 is 0"},
    {"TooManyElements",
     [](RawFile& f) {
       f.tensor("t", {1ull << 32, 1ull << 32}, kF32, 0);
     },
     ErrorKind::corrupt, "too many elements"},
    {"TooManyBytes", [](RawFile& f) { f.tensor("t", {1ull << 63}, kF32, 0); }, ErrorKind::corrupt,
     "too many bytes"},
    {"TensorType", [](RawFile& f) { f.tensor("t", {256}, 23, 0); }, ErrorKind::unsupported,
     "tensor t: type IQ4_XS is not supported"},
    {"TensorTypeUnknown", [](RawFile& f) { f.tensor("t", {256}, 4000, 0); }, ErrorKind::unsupported,
     "type 4000"},
    {"PartialBlock", [](RawFile& f) { f.tensor("t", {33}, 8, 0); }, ErrorKind::corrupt,
     "multiple of 32, found 33"},
    {"TensorAlignment", [](RawFile& f) { f.tensor("t", {1}, kF32, 4), f.data_bytes = 64; },
     ErrorKind::corrupt, "aligned to 32, found 4"},
    {"BeyondTheEnd", [](RawFile& f) { f.tensor("t", {9}, kF32, 32), f.data_bytes = 64; }, ErrorKind::corrupt,
     "tensor t: expected 36 bytes at offset 32, found 64 bytes of data"},
    {"FarBeyondTheEnd", [](RawFile& f) { f.tensor("t", {9}, kF32, ~31ull), f.data_bytes = 64; },
     ErrorKind::corrupt, "found 64 bytes of data"},
    {"Overlap",
     [](RawFile& f) { f.tensor("b", {8}, kF32, 32), f.tensor("a", {9}, kF32, 0), f.data_bytes = 64; },
     ErrorKind::corrupt, "tensor b overlaps tensor a"},
    {"TwiceTheSameTensor",
     [](RawFile& f) { f.tensor("t", {1}, kF32, 0), f.tensor("t", {1}, kF32, 32), f.data_bytes = 64; },
     ErrorKind::corrupt, "tensor t stands there twice"},
    {"UnprintableName",
     [](RawFile& f) {
       f.tensor("a\n\x1b", {4, 0}, kF32, 0);
     },
     ErrorKind::corrupt, "tensor a??:"},
};

INSTANTIATE_TEST_SUITE_P(All, GgufBroken, ::testing::ValuesIn(kBroken),
                         [](const auto& broken) { return broken.param.name; });

TEST(GgufFiles, OnRequestEveryTypeOfTheFormatIsListed) {
  RawFile raw;
  raw.tensor("a", {512, 2}, 16, 0);
  raw.tensor("b", {3}, 24, 288);
  raw.tensor("c", {7}, 4000, 608);  // nobody knows its size
  raw.data_bytes = 640;
  const Bytes bytes = raw.bytes();
  EXPECT_FALSE(GgufFile::parse(bytes));
  const auto file = GgufFile::parse(bytes, GgufTensors::any);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(tensor_type_name(static_cast<std::uint32_t>(file->tensors()[0].type)), "IQ2_XXS");
  EXPECT_EQ(file->tensors()[0].data.size(), 264u);
  EXPECT_EQ(file->tensors()[1].data.size(), 3u);
  EXPECT_EQ(tensor_type_name(static_cast<std::uint32_t>(file->tensors()[2].type)), "4000");
  EXPECT_TRUE(file->tensors()[2].data.empty());
  raw.tensor("d", {300}, 16, 608);
  EXPECT_THAT(GgufFile::parse(raw.bytes(), GgufTensors::any).error().message, HasSubstr("multiple of 256"));
}

Bytes three_rows(TensorType type, std::uint64_t elements, const Bytes& data) {
  GgufWriter writer;
  writer.add_tensor("t", std::vector{elements / 3, std::uint64_t{3}}, type);
  const std::vector<ByteView> views{data};
  return writer.to_bytes(views);
}

TEST(GgufWeights, WhatIsNotFiniteIsFoundInEveryType) {
  struct Case {
    TensorType type;
    std::uint64_t elements;
    std::size_t bytes, at;  // of the last number's high byte
    std::uint8_t infinite, largest;
    std::string message;
  };
  const Case cases[] = {
      {TensorType::f32, 600, 2400, 2399, 0x7f, 0x7e, "row 2 column 199"},
      {TensorType::f16, 600, 1200, 1199, 0xfc, 0xfb, "row 2 column 199"},
      {TensorType::bf16, 600, 1200, 1199, 0xff, 0xfe, "row 2 column 199"},
      {TensorType::q8_0, 192, 204, 171, 0x7c, 0x7b, "row 2 block 1"},
      {TensorType::q4_0, 192, 108, 91, 0x7e, 0x7b, "row 2 block 1"},
  };
  for (const Case& c : cases) {
    Bytes data(c.bytes, 0);
    data[c.at - 1] = 0x80;  // completes the exponent of F32 and BF16
    data[c.at] = c.largest;
    Bytes bytes = three_rows(c.type, c.elements, data);
    EXPECT_TRUE(check_weights(*GgufFile::parse(bytes))) << to_string(c.type);
    data[c.at] = c.infinite;
    bytes = three_rows(c.type, c.elements, data);
    const auto status = check_weights(*GgufFile::parse(bytes));
    ASSERT_FALSE(status) << to_string(c.type);
    EXPECT_EQ(status.error().kind, ErrorKind::corrupt);
    EXPECT_THAT(status.error().message, HasSubstr("tensor t: expected finite"));
    EXPECT_THAT(status.error().message, HasSubstr(c.message));
  }
}

TEST(GgufFiles, AMappedFileReadsLikeItsBytes) {
  const TemporaryFolder folder;
  const std::string path = folder.path("small.gguf");
  GgufWriter writer;
  writer.add_u32("count", 7);
  const std::vector<std::uint64_t> dims{5};
  writer.add_tensor("t", dims, TensorType::f32);
  const Bytes data(20, 9);
  ASSERT_TRUE(writer.begin(path));
  EXPECT_FALSE(std::filesystem::exists(path)) << "the name appears only at the end";
  ASSERT_TRUE(writer.write(ByteView(data).first(7)));
  ASSERT_TRUE(writer.write(ByteView(data).subspan(7)));
  ASSERT_TRUE(writer.finish());
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(*file->get_u32("count"), 7u);
  EXPECT_EQ(Bytes(file->tensor("t")->data.begin(), file->tensor("t")->data.end()), data);
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(GgufFiles, WhatCanNotBeOpenedSaysWhy) {
  const TemporaryFolder folder;
  EXPECT_EQ(GgufFile::open(folder.path("none")).error().kind, ErrorKind::not_found);
  EXPECT_EQ(GgufFile::open(folder.path("")).error().kind, ErrorKind::invalid_input);
  std::ofstream(folder.path("empty")).flush();
  EXPECT_EQ(GgufFile::open(folder.path("empty")).error().kind, ErrorKind::corrupt);
  std::ofstream(folder.path("text")) << "hello";
  const auto text = GgufFile::open(folder.path("text"));
  EXPECT_THAT(text.error().message, HasSubstr("text: not a GGUF file"));
}

// A limit on the size of files stands in for a full disk: write() fails half way either way.
TEST(GgufFiles, AFullDiskIsAnErrorAndLeavesNothing) {
  const TemporaryFolder folder;
  GgufWriter writer;
  const std::vector<std::uint64_t> dims{1 << 16};
  writer.add_tensor("t", dims, TensorType::f32);
  ASSERT_TRUE(writer.begin(folder.path("big.gguf")));
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit low{1 << 16, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const Status status = writer.write(Bytes(4 << 16, 1));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("big.gguf"));
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(GgufFiles, AnAbandonedFileLeavesNothing) {
  const TemporaryFolder folder;
  {
    GgufWriter writer;
    writer.add_tensor("t", std::vector<std::uint64_t>{4}, TensorType::f32);
    ASSERT_TRUE(writer.begin(folder.path("x.gguf")));
  }
  EXPECT_EQ(folder.entries(), 0u);
}

}  // namespace
}  // namespace cortensor::engine
