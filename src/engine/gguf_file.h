// Reads GGUF v3 model files: typed metadata and named tensors over a read-only memory map.   Spec:
// model-file.md
//
// The file is hostile until proven otherwise: every count, length, type, offset and size is checked while the
// directory is read, so that afterwards each tensor's bytes lie inside the file and nothing overlaps. The
// weights themselves are judged by check_weights(), which reads all of them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "arith/blocks.h"
#include "base/bytes.h"
#include "base/generation.h"
#include "base/mapped_file.h"
#include "base/result.h"

namespace cortensor::engine {

// The weight types we compute with; the values are those of the format.
using TensorType = arith::WeightType;

std::string_view to_string(TensorType type);
std::string lower_name(TensorType type);  // as commands and manifests have it
// Of any type number in a file: whether it is one of ours, and its usual name.
bool is_supported_tensor_type(std::uint32_t type);
std::string tensor_type_name(std::uint32_t type);
// Of any type number of the format, computable or not; none for numbers that the format does not have.
struct StoredBlock {
  std::uint32_t elements;
  std::uint32_t bytes;
};
std::optional<StoredBlock> stored_block(std::uint32_t type);

// Bytes and names are borrowed from the GgufFile.
struct TensorInfo {
  std::string_view name;
  TensorType type = TensorType::f32;
  std::uint32_t rank = 0;                         // 1..4
  std::array<std::uint64_t, 4> dims{1, 1, 1, 1};  // contiguous dimension first; beyond rank: 1
  ByteView data;

  std::uint64_t cols() const { return dims[0]; }
  std::uint64_t rows() const { return dims[1] * dims[2] * dims[3]; }
  std::uint64_t row_bytes() const { return data.size() / rows(); }
};

// A value type of the format's metadata.
enum class GgufType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

std::string_view to_string(GgufType type);

struct GgufArray {
  GgufType element = GgufType::u8;  // never array: nested arrays are refused
  std::uint64_t count = 0;
  ByteView raw;                           // the elements as they stand in the file
  std::vector<std::string_view> strings;  // filled when the elements are strings
};

struct GgufValue {
  GgufType type = GgufType::u8;
  // Unsigned, signed and floating types are widened; the text is borrowed from the file.
  std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, GgufArray> value;
};

// Bytes done so far, bytes in all.
using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Which tensors a reader wants: those we compute with, or whatever a file may hold. Of the latter only name,
// shape, type number and bytes mean something; the bytes of a type that the format does not have are empty.
enum class GgufTensors { computable, any };

class GgufFile {
 public:
  // Maps and checks the file. It must not be changed or cut short by others while it is mapped.
  static Result<GgufFile> open(const std::string& path, GgufTensors tensors = GgufTensors::computable);
  // The same over bytes that the caller keeps alive.
  static Result<GgufFile> parse(ByteView bytes, GgufTensors tensors = GgufTensors::computable);

  GgufFile(GgufFile&&) noexcept;
  GgufFile& operator=(GgufFile&&) noexcept;
  ~GgufFile();

  std::span<const TensorInfo> tensors() const { return tensors_; }
  const TensorInfo* find_tensor(std::string_view name) const;
  // not_found when absent.
  Result<TensorInfo> tensor(std::string_view name) const;

  // In the order of the file.
  std::span<const std::pair<std::string_view, GgufValue>> metadata() const { return metadata_; }
  const GgufValue* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // not_found when the key is absent, corrupt when the value has another type or does not fit.
  Result<std::uint32_t> get_u32(std::string_view key) const;  // any integer type that fits
  Result<std::uint64_t> get_u64(std::string_view key) const;  // any integer type that fits
  Result<float> get_f32(std::string_view key) const;          // f32 or f64; finite
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;
  Result<std::span<const std::string_view>> get_strings(std::string_view key) const;
  Result<std::vector<std::int32_t>> get_i32s(std::string_view key) const;  // any integer type that fits
  Result<std::vector<float>> get_f32s(std::string_view key) const;         // f32 only

  ByteView bytes() const { return bytes_; }  // the whole file
  // A part of bytes() that is not read again soon: leaves memory if it was mapped, and stays readable.
  void release(ByteView part) const;

 private:
  GgufFile();
  Status read(ByteView bytes, GgufTensors tensors);

  std::unique_ptr<MappedFile> mapping_;  // none for parse()
  ByteView bytes_;
  std::vector<std::pair<std::string_view, GgufValue>> metadata_;
  std::unordered_map<std::string_view, std::size_t> metadata_index_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, std::size_t> tensor_index_;
};

// Every weight and every scale is finite; the error names tensor, row and place. Reads the whole tensor.
Status check_weights(const TensorInfo& tensor);
Status check_weights(const GgufFile& file);  // all of them

// SHA-256 of the whole file: the identity of a model's weights. Releases what it has read. Ends early, with a
// meaningless digest, when it is asked to stop.
Digest weights_digest(const GgufFile& file, const Progress& progress = {}, std::stop_token stop = {});

}  // namespace cortensor::engine
