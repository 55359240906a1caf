// Writes GGUF v3 files: metadata and tensor descriptions first, then the tensors' bytes in the order of their
// descriptions, in pieces of any size. The file appears under its name only when it is complete.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "engine/gguf_file.h"
#include "engine/output_file.h"

namespace cortensor::engine {

class GgufWriter {
 public:
  void add_u32(std::string_view key, std::uint32_t value);
  void add_f32(std::string_view key, float value);
  void add_bool(std::string_view key, bool value);
  void add_string(std::string_view key, std::string_view value);
  void add_strings(std::string_view key, std::span<const std::string> values);
  void add_i32s(std::string_view key, std::span<const std::int32_t> values);
  void add_f32s(std::string_view key, std::span<const float> values);
  // A value as another file has it.
  void add_value(std::string_view key, const GgufValue& value);

  // dims: contiguous dimension first, a multiple of the type's block; 1 to 4 of them, none zero. A file with
  // native types needs the key that says so (native_tensor.h).
  void add_tensor(std::string_view name, std::span<const std::uint64_t> dims, TensorType type);

  // Starts the file: header, metadata and descriptions. Nothing can be added afterwards.
  Status begin(const std::string& path);
  Status begin(OutputFile file);
  // More bytes of the current tensor; a piece never reaches over a tensor's end.
  Status write(ByteView piece);
  // All tensors are written: the file takes its name.
  Status finish();

  // Of the whole file, known once everything is added.
  std::uint64_t file_size() const { return header().size() + next_offset_; }
  // The whole file in memory; `data` is the bytes of each tensor, in order.
  Bytes to_bytes(std::span<const ByteView> data) const;

 private:
  void begin_entry(std::string_view key, GgufType type);
  template <class T>
  void add_array(std::string_view key, GgufType element, std::span<const T> values);
  Bytes header() const;

  ByteWriter metadata_;
  std::uint64_t metadata_count_ = 0;
  ByteWriter descriptions_;
  std::vector<std::uint64_t> sizes_;  // of each tensor's data
  std::uint64_t next_offset_ = 0;

  std::optional<OutputFile> file_;
  std::size_t current_ = 0;    // the tensor being written
  std::uint64_t written_ = 0;  // bytes of it so far
};

}  // namespace cortensor::engine
