#include "convert/hf_weights.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "convert/json_file.h"

namespace cortensor::convert {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

}  // namespace

Result<HfWeights> HfWeights::open(const std::string& folder) {
  HfWeights weights;
  const fs::path base(folder);
  const std::string index_path = (base / "model.safetensors.index.json").string();
  weights.paths_.push_back(index_path);
  auto index = read_json_object(index_path);
  if (!index && index.error().kind != ErrorKind::not_found) return index.error();
  if (!index) {
    weights.paths_.push_back((base / "model.safetensors").string());
    auto file = SafetensorsFile::open(weights.paths_.back());
    if (!file) return file.error();
    weights.files_.push_back(std::move(*file));
    for (const auto& [name, tensor] : weights.files_.front().tensors()) weights.tensors_[name] = &tensor;
    return weights;
  }

  const auto map = index->find("weight_map");
  if (map == index->end() || !map->is_object())
    return fail(ErrorKind::corrupt, index_path + ": expected weight_map, an object");
  std::map<std::string, std::vector<std::string>> by_shard;
  for (const auto& [name, shard] : map->items()) {
    // A shard lies in the folder: its name leads nowhere else.
    if (!shard.is_string() || shard.get_ref<const std::string&>().empty() ||
        shard.get_ref<const std::string&>().find_first_of(std::string_view("/\\\0", 3)) != std::string::npos)
      return fail(ErrorKind::corrupt,
                  index_path + ": weight_map: expected names of files in the same folder");
    by_shard[shard.get<std::string>()].push_back(name);
  }
  weights.files_.reserve(by_shard.size());
  for (const auto& [shard, names] : by_shard) {
    const std::string& path = weights.paths_.emplace_back((base / shard).string());
    auto file = SafetensorsFile::open(path);
    if (!file) return file.error();
    weights.files_.push_back(std::move(*file));
    for (const std::string& name : names) {
      const StoredTensor* tensor = weights.files_.back().find(name);
      if (tensor == nullptr)
        return fail(ErrorKind::corrupt,
                    path + ": no tensor " + name.substr(0, 128) + ", which the index says is there");
      weights.tensors_[name] = tensor;
    }
  }
  return weights;
}

const StoredTensor* HfWeights::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

std::vector<std::string> HfWeights::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

}  // namespace cortensor::convert
