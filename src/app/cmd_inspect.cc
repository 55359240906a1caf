// cortensor inspect: what is in a model file, of whatever architecture and tensor types.
#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/printable.h"
#include "app/progress.h"
#include "app/subcommands.h"
#include "base/hex.h"
#include "engine/gguf_file.h"

namespace cortensor::app {
namespace {

using engine::GgufArray;
using engine::GgufFile;
using engine::GgufType;
using engine::GgufValue;
using engine::TensorInfo;
using nlohmann::json;

constexpr std::size_t kShownElements = 6;
constexpr std::size_t kShownText = 72;

template <class T>
json element(const GgufArray& array, std::uint64_t i) {
  T value;
  std::memcpy(&value, array.raw.data() + i * sizeof value, sizeof value);
  return value;
}

json element(const GgufArray& array, std::uint64_t i) {
  switch (array.element) {
    case GgufType::u8:
      return element<std::uint8_t>(array, i);
    case GgufType::i8:
      return element<std::int8_t>(array, i);
    case GgufType::u16:
      return element<std::uint16_t>(array, i);
    case GgufType::i16:
      return element<std::int16_t>(array, i);
    case GgufType::u32:
      return element<std::uint32_t>(array, i);
    case GgufType::i32:
      return element<std::int32_t>(array, i);
    case GgufType::f32:
      return element<float>(array, i);
    case GgufType::u64:
      return element<std::uint64_t>(array, i);
    case GgufType::i64:
      return element<std::int64_t>(array, i);
    case GgufType::f64:
      return element<double>(array, i);
    case GgufType::boolean:
      return array.raw[i] != 0;
    case GgufType::string:
      return array.strings[i];
    case GgufType::array:
      break;
  }
  return nullptr;
}

// Of an array only how long it is and how it begins.
json value_of(const GgufValue& value) {
  const auto* array = std::get_if<GgufArray>(&value.value);
  if (array == nullptr)
    return std::visit(
        [](const auto& plain) -> json {
          if constexpr (std::is_same_v<std::decay_t<decltype(plain)>, GgufArray>)
            return nullptr;
          else
            return plain;
        },
        value.value);
  json first = json::array();
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(array->count, kShownElements); ++i)
    first.push_back(element(*array, i));
  return {{"element", engine::to_string(array->element)}, {"count", array->count}, {"first", first}};
}

std::string text_of_json(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string shown(const GgufValue& value) {
  if (const auto* text = std::get_if<std::string_view>(&value.value)) {
    std::string line = printable_line(text->substr(0, kShownText));
    if (text->size() > kShownText) line += "… (" + std::to_string(text->size()) + " bytes)";
    return line;
  }
  const json plain = value_of(value);
  if (value.type != GgufType::array) return text_of_json(plain);
  std::string line;
  for (const json& one : plain["first"])
    line += (line.empty() ? "" : ", ") + text_of_json(one).substr(0, kShownText);
  return printable_line(line) + (plain["count"] > kShownElements ? ", …" : "");
}

std::string type_of(const GgufValue& value) {
  const auto* array = std::get_if<GgufArray>(&value.value);
  if (array == nullptr) return std::string(engine::to_string(value.type));
  return std::string(engine::to_string(array->element)) + "[" + std::to_string(array->count) + "]";
}

std::string type_of(const TensorInfo& tensor) {
  return engine::tensor_type_name(static_cast<std::uint32_t>(tensor.type));
}

std::uint64_t elements(const TensorInfo& tensor) {
  return tensor.cols() * tensor.rows();
}

struct Total {
  std::size_t tensors = 0;
  std::uint64_t elements = 0, bytes = 0;
};

using Totals = std::map<std::string, Total>;

Totals totals_of(const GgufFile& file) {
  Totals totals;
  for (const TensorInfo& tensor : file.tensors()) {
    Total& total = totals[type_of(tensor)];
    ++total.tensors;
    total.elements += elements(tensor);
    total.bytes += tensor.data.size();
  }
  return totals;
}

void print_json(const std::string& path, const GgufFile& file, const std::string& digest) {
  json out{{"file", path}, {"bytes", file.bytes().size()}};
  if (!digest.empty()) out["digest"] = digest;
  out["metadata"] = json::object();
  for (const auto& [key, value] : file.metadata())
    out["metadata"][std::string(key)] = {{"type", engine::to_string(value.type)}, {"value", value_of(value)}};
  out["tensors"] = json::array();
  for (const TensorInfo& tensor : file.tensors())
    out["tensors"].push_back({{"name", tensor.name},
                              {"type", type_of(tensor)},
                              {"shape", std::span(tensor.dims).first(tensor.rank)},
                              {"bytes", tensor.data.size()}});
  out["types"] = json::object();
  for (const auto& [type, total] : totals_of(file))
    out["types"][type] = {{"tensors", total.tensors}, {"elements", total.elements}, {"bytes", total.bytes}};
  std::printf("%s\n", out.dump(2, ' ', false, json::error_handler_t::replace).c_str());
}

void print_text(const std::string& path, const GgufFile& file, const std::string& digest) {
  std::printf("%s: %zu bytes", path.c_str(), file.bytes().size());
  std::printf(digest.empty() ? "\n" : "\ndigest %s\n", digest.c_str());
  std::printf("\nmetadata, %zu keys\n", file.metadata().size());
  for (const auto& [key, value] : file.metadata())
    std::printf("  %-44s %-14s %s\n", printable_line(key).c_str(), type_of(value).c_str(),
                shown(value).c_str());
  std::printf("\ntensors, %zu\n", file.tensors().size());
  for (const TensorInfo& tensor : file.tensors()) {
    std::string shape;
    for (const std::uint64_t dim : std::span(tensor.dims).first(tensor.rank))
      shape += (shape.empty() ? "" : " x ") + std::to_string(dim);
    std::printf("  %-44s %-8s %-20s %14zu\n", printable_line(tensor.name).c_str(), type_of(tensor).c_str(),
                shape.c_str(), tensor.data.size());
  }
  std::printf("\ntypes\n");
  for (const auto& [type, total] : totals_of(file))
    std::printf("  %-8s %6zu tensors %16llu weights %16llu bytes  %.2f bits a weight\n", type.c_str(),
                total.tensors, static_cast<unsigned long long>(total.elements),
                static_cast<unsigned long long>(total.bytes),
                8.0 * static_cast<double>(total.bytes) / static_cast<double>(total.elements));
}

}  // namespace

void add_inspect(CLI::App& root) {
  struct Options {
    std::string file;
    bool json = false, no_digest = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      root.add_subcommand("inspect", "Show what is in a model file: metadata, tensors, types, digest");
  command->add_option("FILE", options->file, "any GGUF file, also of models that cortensor does not run")
      ->required();
  command->add_flag("--json", options->json, "the same as one JSON object");
  command->add_flag("--no-digest", options->no_digest, "do not read the whole file for its SHA-256");
  examples(command,
           "  cortensor inspect models/llama-tales-26m.f16.gguf\n"
           "  cortensor inspect --json --no-digest big.gguf");
  run_with(command, [options]() -> Result<Exit> {
    const auto file = GgufFile::open(options->file, engine::GgufTensors::any);
    if (!file) return file.error();
    std::string digest;
    if (!options->no_digest) {
      ProgressBar bar("Hashing");
      digest = to_hex(engine::weights_digest(*file, [&](std::uint64_t done, std::uint64_t total) {
        bar.update(static_cast<double>(done) / static_cast<double>(total), "the file");
      }));
    }
    if (options->json)
      print_json(options->file, *file, digest);
    else
      print_text(options->file, *file, digest);
    return Exit::success;
  });
}

}  // namespace cortensor::app
