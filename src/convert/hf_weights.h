// The weights of a Hugging Face folder: one model.safetensors, or the shards that
// model.safetensors.index.json names.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "convert/safetensors.h"

namespace cortensor::convert {

class HfWeights {
 public:
  static Result<HfWeights> open(const std::string& folder);

  // Null when there is none.
  const StoredTensor* find(const std::string& name) const;
  std::vector<std::string> names() const;
  // The files that they are read from.
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  std::vector<std::string> paths_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, const StoredTensor*> tensors_;  // in files_, whose tables stay where they are
};

}  // namespace cortensor::convert
