#include "engine/gguf_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "engine/native_tensor.h"

namespace cortensor::engine {
namespace {

constexpr std::uint32_t kVersion = 3;
constexpr std::uint64_t kMaxTensors = 1 << 16;
constexpr std::uint64_t kMaxMetadata = 1 << 16;
constexpr std::size_t kMaxName = 256;  // of a key or a tensor
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxAlignment = 1 << 16;

// Names come from the file: shown short and printable.
std::string shown(std::string_view name) {
  std::string text;
  for (const char c : name.substr(0, 64)) text += c >= ' ' && c <= '~' ? c : '?';
  if (name.size() > 64) text += "...";
  return text;
}

Error corrupt(std::string message) {
  return fail(ErrorKind::corrupt, std::move(message));
}

std::string expected(std::string_view what, std::uint64_t wanted, std::uint64_t found) {
  return std::string(what) + ": expected " + std::to_string(wanted) + ", found " + std::to_string(found);
}

// Bytes of a value of fixed size, 0 for strings and arrays.
std::size_t fixed_size(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    case GgufType::string:
    case GgufType::array:
      return 0;
  }
  return 0;
}

template <class T>
T load(const std::uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

Result<std::string_view> read_string(ByteReader& reader) {
  const auto length = reader.number<std::uint64_t>();
  if (reader.failed()) return corrupt("the file ends in the length of a string");
  if (length > reader.left())
    return corrupt("a string of " + std::to_string(length) + " bytes in the " +
                   std::to_string(reader.left()) + " that are left");
  return text_of(reader.raw(length));
}

Result<GgufType> read_type(ByteReader& reader) {
  const auto type = reader.number<std::uint32_t>();
  if (reader.failed()) return corrupt("the file ends in a value type");
  if (type > static_cast<std::uint32_t>(GgufType::f64))
    return corrupt("unknown value type " + std::to_string(type));
  return static_cast<GgufType>(type);
}

Result<GgufArray> read_array(ByteReader& reader) {
  const auto element = read_type(reader);
  if (!element) return element.error();
  if (*element == GgufType::array) return fail(ErrorKind::unsupported, "arrays of arrays are not supported");
  GgufArray array;
  array.element = *element;
  array.count = reader.number<std::uint64_t>();
  if (reader.failed()) return corrupt("the file ends in the length of an array");
  // A string takes at least its length field, so the count bounds itself before anything is allocated.
  const std::size_t least = *element == GgufType::string ? sizeof(std::uint64_t) : fixed_size(*element);
  if (array.count > reader.left() / least)
    return corrupt("an array of " + std::to_string(array.count) + " " + std::string(to_string(*element)) +
                   " in the " + std::to_string(reader.left()) + " bytes that are left");
  if (*element != GgufType::string) {
    array.raw = reader.raw(array.count * least);
    return array;
  }
  array.strings.reserve(array.count);
  for (std::uint64_t i = 0; i < array.count; ++i) {
    auto text = read_string(reader);
    if (!text) return std::move(text).error_context("element " + std::to_string(i));
    array.strings.push_back(*text);
  }
  return array;
}

Result<GgufValue> read_value(ByteReader& reader) {
  const auto type = read_type(reader);
  if (!type) return type.error();
  GgufValue value;
  value.type = *type;
  switch (*type) {
    case GgufType::string: {
      auto text = read_string(reader);
      if (!text) return text.error();
      value.value = *text;
      return value;
    }
    case GgufType::array: {
      auto array = read_array(reader);
      if (!array) return array.error();
      value.value = std::move(*array);
      return value;
    }
    case GgufType::u8:
      value.value = std::uint64_t{reader.number<std::uint8_t>()};
      break;
    case GgufType::u16:
      value.value = std::uint64_t{reader.number<std::uint16_t>()};
      break;
    case GgufType::u32:
      value.value = std::uint64_t{reader.number<std::uint32_t>()};
      break;
    case GgufType::u64:
      value.value = reader.number<std::uint64_t>();
      break;
    case GgufType::i8:
      value.value = std::int64_t{reader.number<std::int8_t>()};
      break;
    case GgufType::i16:
      value.value = std::int64_t{reader.number<std::int16_t>()};
      break;
    case GgufType::i32:
      value.value = std::int64_t{reader.number<std::int32_t>()};
      break;
    case GgufType::i64:
      value.value = reader.number<std::int64_t>();
      break;
    case GgufType::f32:
      value.value = double{reader.number<float>()};
      break;
    case GgufType::f64:
      value.value = reader.number<double>();
      break;
    case GgufType::boolean: {
      const auto byte = reader.number<std::uint8_t>();
      if (byte > 1) return corrupt(expected("a boolean", 1, byte));
      value.value = byte == 1;
      break;
    }
  }
  if (reader.failed()) return corrupt("the file ends in the value");
  return value;
}

struct TensorEntry {
  TensorInfo info;
  std::uint64_t offset = 0;  // from the start of the data section
  std::uint64_t size = 0;
};

// Turns an I8 tensor of a file of the native profile into the matrix that it is.
Status read_native(TensorInfo& info) {
  const std::string tensor = "tensor " + shown(info.name);
  const auto type = native_type(info.name);
  if (!type) return corrupt(tensor + ": expected a name that ends in .s8 or .s4 for a tensor of type I8");
  const auto columns = native_columns(*type, info.dims[0]);
  if (!columns) return corrupt(tensor + ": no native row has " + std::to_string(info.dims[0]) + " bytes");
  info.name = native_name(info.name);
  info.type = *type;
  info.dims[0] = *columns;
  return ok();
}

// Everything about a tensor that can be judged without knowing where the data section begins.
Result<TensorEntry> read_tensor_entry(ByteReader& reader, GgufTensors tensors, bool native) {
  auto name = read_string(reader);
  if (!name) return std::move(name).error_context("name");
  if (name->empty() || name->size() > kMaxName)
    return corrupt("name: expected 1 to " + std::to_string(kMaxName) + " bytes, found " +
                   std::to_string(name->size()));
  const std::string tensor = "tensor " + shown(*name);
  TensorEntry entry;
  TensorInfo& info = entry.info;
  info.name = *name;
  info.rank = reader.number<std::uint32_t>();
  if (reader.failed() || info.rank < 1 || info.rank > 4)
    return corrupt(tensor + ": expected 1 to 4 dimensions, found " + std::to_string(info.rank));
  std::uint64_t elements = 1;
  for (std::uint32_t d = 0; d < info.rank; ++d) {
    info.dims[d] = reader.number<std::uint64_t>();
    if (info.dims[d] == 0) return corrupt(tensor + ": dimension " + std::to_string(d) + " is 0");
    if (__builtin_mul_overflow(elements, info.dims[d], &elements))
      return corrupt(tensor + ": too many elements");
  }
  const auto type = reader.number<std::uint32_t>();
  entry.offset = reader.number<std::uint64_t>();
  if (reader.failed()) return corrupt(tensor + ": the file ends in its description");
  if (native && type == kI8) {
    entry.size = elements;
    if (Status status = read_native(info); !status) return status.error();
    return entry;
  }
  if (tensors == GgufTensors::computable && !is_supported_tensor_type(type))
    return fail(ErrorKind::unsupported,
                tensor + ": type " + tensor_type_name(type) +
                    " is not supported (F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and Q2_K to Q6_K are)");
  info.type = static_cast<TensorType>(type);
  const StoredBlock block = stored_block(type).value_or(StoredBlock{1, 0});
  if (info.cols() % block.elements != 0)
    return corrupt(tensor + ": expected rows of a multiple of " + std::to_string(block.elements) +
                   ", found " + std::to_string(info.cols()));
  if (__builtin_mul_overflow(elements / block.elements, std::uint64_t{block.bytes}, &entry.size))
    return corrupt(tensor + ": too many bytes");
  return entry;
}

Status check_no_overlap(std::vector<const TensorEntry*> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < entries.size(); ++i)
    if (entries[i]->offset < entries[i - 1]->offset + entries[i - 1]->size)
      return corrupt("tensor " + shown(entries[i]->info.name) + " overlaps tensor " +
                     shown(entries[i - 1]->info.name));
  return ok();
}

}  // namespace

GgufFile::GgufFile() = default;
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;
GgufFile::~GgufFile() = default;

Result<GgufFile> GgufFile::open(const std::string& path, GgufTensors tensors) {
  auto mapping = MappedFile::open(path);
  if (!mapping) return mapping.error();
  GgufFile file;
  file.mapping_ = std::make_unique<MappedFile>(std::move(*mapping));
  if (auto status = file.read(file.mapping_->bytes(), tensors); !status)
    return std::move(status).error_context(path);
  return file;
}

Result<GgufFile> GgufFile::parse(ByteView bytes, GgufTensors tensors) {
  GgufFile file;
  if (auto status = file.read(bytes, tensors); !status) return status.error();
  return file;
}

Status GgufFile::read(ByteView bytes, GgufTensors tensors) {
  bytes_ = bytes;
  ByteReader reader(bytes);
  const ByteView magic = reader.raw(4);
  if (magic.size() != 4 || std::memcmp(magic.data(), "GGUF", 4) != 0) return corrupt("not a GGUF file");
  const auto version = reader.number<std::uint32_t>();
  if (!reader.failed() && version != kVersion)
    return fail(ErrorKind::unsupported, (version & 0xffff) == 0
                                            ? std::string("a big-endian GGUF file")
                                            : expected("GGUF version", kVersion, version));
  const auto tensor_count = reader.number<std::uint64_t>();
  const auto metadata_count = reader.number<std::uint64_t>();
  if (reader.failed()) return corrupt("the file ends in its header");
  if (tensor_count > kMaxTensors) return corrupt(expected("tensors at most", kMaxTensors, tensor_count));
  if (metadata_count > kMaxMetadata)
    return corrupt(expected("metadata keys at most", kMaxMetadata, metadata_count));

  for (std::uint64_t i = 0; i < metadata_count; ++i) {
    auto key = read_string(reader);
    if (!key) return std::move(key).error_context("metadata key " + std::to_string(i));
    if (key->empty() || key->size() > kMaxName)
      return corrupt("metadata key " + std::to_string(i) + ": " + "expected 1 to " +
                     std::to_string(kMaxName) + " bytes, found " + std::to_string(key->size()));
    auto value = read_value(reader);
    if (!value) return std::move(value).error_context("metadata " + shown(*key));
    if (!metadata_index_.emplace(*key, metadata_.size()).second)
      return corrupt("metadata " + shown(*key) + " stands there twice");
    metadata_.emplace_back(*key, std::move(*value));
  }

  std::uint64_t alignment = kDefaultAlignment;
  if (has("general.alignment")) {
    const auto stated = get_u64("general.alignment");
    if (!stated) return stated.error();
    alignment = *stated;
    if (!std::has_single_bit(alignment) || alignment < 8 || alignment > kMaxAlignment)
      return corrupt("general.alignment: expected a power of two from 8 to " + std::to_string(kMaxAlignment) +
                     ", found " + std::to_string(alignment));
  }

  bool native = has(kProfileKey);
  if (native) {
    const auto profile = get_string(kProfileKey);
    native = profile && *profile == kProfile;
    if (!native && tensors == GgufTensors::computable)
      return profile ? fail(ErrorKind::unsupported, std::string(kProfileKey) + ": expected " +
                                                        std::string(kProfile) + ", found " + shown(*profile))
                     : profile.error();
  }

  std::vector<TensorEntry> entries;
  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    auto entry = read_tensor_entry(reader, tensors, native);
    if (!entry) return std::move(entry).error_context("tensor " + std::to_string(i));
    if (!tensor_index_.emplace(entry->info.name, entries.size()).second)
      return corrupt("tensor " + shown(entry->info.name) + " stands there twice");
    entries.push_back(std::move(*entry));
  }

  const std::uint64_t data_begin = (reader.position() + alignment - 1) / alignment * alignment;
  const std::uint64_t data_size = bytes.size() > data_begin ? bytes.size() - data_begin : 0;
  std::vector<const TensorEntry*> by_address;
  tensors_.reserve(entries.size());
  for (TensorEntry& entry : entries) {
    const std::string tensor = "tensor " + shown(entry.info.name);
    if (entry.offset % alignment != 0)
      return corrupt(tensor + ": expected an offset aligned to " + std::to_string(alignment) + ", found " +
                     std::to_string(entry.offset));
    if (entry.offset > data_size || entry.size > data_size - entry.offset)
      return corrupt(tensor + ": expected " + std::to_string(entry.size) + " bytes at offset " +
                     std::to_string(entry.offset) + ", found " + std::to_string(data_size) +
                     " bytes of data");
    entry.info.data = bytes.subspan(data_begin + entry.offset, entry.size);
    tensors_.push_back(entry.info);
    by_address.push_back(&entry);
  }
  return check_no_overlap(std::move(by_address));
}

void GgufFile::release(ByteView part) const {
  if (mapping_) mapping_->release(part);
}

const TensorInfo* GgufFile::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

Result<TensorInfo> GgufFile::tensor(std::string_view name) const {
  if (const TensorInfo* info = find_tensor(name)) return *info;
  return fail(ErrorKind::not_found, "tensor " + shown(name) + ": not in the file");
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = metadata_index_.find(key);
  return found == metadata_index_.end() ? nullptr : &metadata_[found->second].second;
}

}  // namespace cortensor::engine
