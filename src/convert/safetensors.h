// Reads safetensors files: a JSON header that names tensors, then their bytes.
//
// The file is hostile until proven otherwise: when it is open, every tensor's bytes lie inside the file, are
// as many as its type and shape say, and together they cover the data without gap or overlap, as the format
// wants.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/mapped_file.h"
#include "base/result.h"

namespace cortensor::convert {

struct StoredTensor {
  std::string dtype;                 // "F32", "F16", "BF16", "I64", …
  std::vector<std::uint64_t> shape;  // outermost dimension first; empty: one number
  ByteView data;
};

class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(const std::string& path);
  // The same over bytes that the caller keeps alive.
  static Result<SafetensorsFile> parse(ByteView bytes);

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  const StoredTensor* find(const std::string& name) const;

 private:
  Status read(ByteView bytes);

  std::optional<MappedFile> mapping_;  // none for parse()
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace cortensor::convert
