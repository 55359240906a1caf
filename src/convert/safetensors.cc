#include "convert/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace cortensor::convert {
namespace {

using nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 16 << 20;
constexpr std::size_t kMaxDimensions = 8;
constexpr std::size_t kMaxName = 256;

Error corrupt(std::string message) {
  return fail(ErrorKind::corrupt, std::move(message));
}

// Names come from the file: shown short and printable.
std::string shown(std::string_view name) {
  std::string text;
  for (const char c : name.substr(0, 64)) text += c >= ' ' && c <= '~' ? c : '?';
  if (name.size() > 64) text += "...";
  return text;
}

std::uint64_t bytes_of_dtype(std::string_view dtype) {
  static const std::map<std::string_view, std::uint64_t> kSizes{
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},  {"I32", 4},     {"I16", 2},    {"I8", 1},
      {"U64", 8}, {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
  const auto found = kSizes.find(dtype);
  return found == kSizes.end() ? 0 : found->second;
}

// The library keeps the last of two equal keys; a file with a tensor twice must not be opened at all.
Result<json> parse_header(std::string_view text) {
  std::set<std::string> names;
  std::string twice;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::key && depth == 1) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!names.insert(name).second) twice = name;
    }
    return true;
  };
  json header = json::parse(text, watch, false);
  if (!header.is_object()) return corrupt("the header is no JSON object");
  if (!twice.empty()) return corrupt("tensor " + shown(twice) + " stands there twice");
  return header;
}

struct Placed {
  std::uint64_t begin, end;
  std::string name;
};

Result<StoredTensor> read_tensor(const json& entry, ByteView data, Placed& placed) {
  const auto dtype = entry.find("dtype"), shape = entry.find("shape"), offsets = entry.find("data_offsets");
  if (!entry.is_object() || dtype == entry.end() || shape == entry.end() || offsets == entry.end())
    return corrupt("expected an object with dtype, shape and data_offsets");
  const auto is_size = [](const json& number) { return number.is_number_unsigned(); };
  if (!dtype->is_string() || !shape->is_array() || shape->size() > kMaxDimensions ||
      !std::all_of(shape->begin(), shape->end(), is_size))
    return corrupt("expected a dtype, and a shape of at most 8 whole numbers");
  if (!offsets->is_array() || offsets->size() != 2 || !is_size((*offsets)[0]) || !is_size((*offsets)[1]))
    return corrupt("expected data_offsets of two whole numbers");

  StoredTensor tensor;
  tensor.dtype = dtype->get<std::string>();
  std::uint64_t bytes = bytes_of_dtype(tensor.dtype);
  if (bytes == 0) return fail(ErrorKind::unsupported, "dtype " + shown(tensor.dtype) + " is not known");
  for (const json& size : *shape) {
    tensor.shape.push_back(size.get<std::uint64_t>());
    if (__builtin_mul_overflow(bytes, tensor.shape.back(), &bytes)) return corrupt("too many elements");
  }
  placed.begin = (*offsets)[0].get<std::uint64_t>();
  placed.end = (*offsets)[1].get<std::uint64_t>();
  if (placed.begin > placed.end || placed.end > data.size())
    return corrupt("data_offsets " + std::to_string(placed.begin) + " to " + std::to_string(placed.end) +
                   " in " + std::to_string(data.size()) + " bytes of data");
  if (placed.end - placed.begin != bytes)
    return corrupt("expected " + std::to_string(bytes) + " bytes, found " +
                   std::to_string(placed.end - placed.begin));
  tensor.data = data.subspan(placed.begin, bytes);
  return tensor;
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  auto mapping = MappedFile::open(path);
  if (!mapping) return mapping.error();
  SafetensorsFile file;
  file.mapping_.emplace(std::move(*mapping));
  if (auto status = file.read(file.mapping_->bytes()); !status) return std::move(status).error_context(path);
  return file;
}

Result<SafetensorsFile> SafetensorsFile::parse(ByteView bytes) {
  SafetensorsFile file;
  if (auto status = file.read(bytes); !status) return status.error();
  return file;
}

Status SafetensorsFile::read(ByteView bytes) {
  if (bytes.size() < kLengthBytes) return corrupt("the file ends in the length of its header");
  std::uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMaxHeader || length > bytes.size() - kLengthBytes)
    return corrupt("a header of " + std::to_string(length) + " bytes in a file of " +
                   std::to_string(bytes.size()) + " (at most 16 MiB)");
  const auto header = parse_header(text_of(bytes.subspan(kLengthBytes, length)));
  if (!header) return header.error();
  const ByteView data = bytes.subspan(kLengthBytes + length);

  std::vector<Placed> order;
  for (const auto& [name, entry] : header->items()) {
    if (name == "__metadata__") continue;
    if (name.empty() || name.size() > kMaxName) return corrupt("a tensor's name has no or too many bytes");
    Placed placed{0, 0, name};
    auto tensor = read_tensor(entry, data, placed);
    if (!tensor) return std::move(tensor).error_context("tensor " + shown(name));
    tensors_.emplace(name, std::move(*tensor));
    order.push_back(std::move(placed));
  }
  std::sort(order.begin(), order.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  for (const Placed& placed : order) {
    if (placed.begin != covered)
      return corrupt("tensor " + shown(placed.name) + ": expected to begin at byte " +
                     std::to_string(covered) + " of the data, found " + std::to_string(placed.begin));
    covered = placed.end;
  }
  if (covered != data.size())
    return corrupt("the tensors end at byte " + std::to_string(covered) + " of " +
                   std::to_string(data.size()));
  return ok();
}

const StoredTensor* SafetensorsFile::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace cortensor::convert
