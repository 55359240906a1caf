#include "engine/gguf_writer.h"

#include "base/check.h"
#include "engine/native_tensor.h"

namespace cortensor::engine {
namespace {

constexpr std::uint64_t kAlignment = 32;

std::uint64_t padding(std::uint64_t size) {
  return (kAlignment - size % kAlignment) % kAlignment;
}

// GGUF's strings have lengths of 64 bits.
void put_string(ByteWriter& writer, std::string_view text) {
  writer.number(std::uint64_t{text.size()});
  writer.raw(bytes_of(text));
}

}  // namespace

void GgufWriter::begin_entry(std::string_view key, GgufType type) {
  ++metadata_count_;
  put_string(metadata_, key);
  metadata_.number(static_cast<std::uint32_t>(type));
}

void GgufWriter::add_u32(std::string_view key, std::uint32_t value) {
  begin_entry(key, GgufType::u32);
  metadata_.number(value);
}

void GgufWriter::add_f32(std::string_view key, float value) {
  begin_entry(key, GgufType::f32);
  metadata_.number(value);
}

void GgufWriter::add_bool(std::string_view key, bool value) {
  begin_entry(key, GgufType::boolean);
  metadata_.number(static_cast<std::uint8_t>(value));
}

void GgufWriter::add_string(std::string_view key, std::string_view value) {
  begin_entry(key, GgufType::string);
  put_string(metadata_, value);
}

void GgufWriter::add_strings(std::string_view key, std::span<const std::string> values) {
  begin_entry(key, GgufType::array);
  metadata_.number(static_cast<std::uint32_t>(GgufType::string));
  metadata_.number(std::uint64_t{values.size()});
  for (const std::string& value : values) put_string(metadata_, value);
}

template <class T>
void GgufWriter::add_array(std::string_view key, GgufType element, std::span<const T> values) {
  begin_entry(key, GgufType::array);
  metadata_.number(static_cast<std::uint32_t>(element));
  metadata_.number(std::uint64_t{values.size()});
  for (const T value : values) metadata_.number(value);
}

void GgufWriter::add_i32s(std::string_view key, std::span<const std::int32_t> values) {
  add_array(key, GgufType::i32, values);
}

void GgufWriter::add_f32s(std::string_view key, std::span<const float> values) {
  add_array(key, GgufType::f32, values);
}

void GgufWriter::add_value(std::string_view key, const GgufValue& value) {
  begin_entry(key, value.type);
  switch (value.type) {
    case GgufType::u8:
      metadata_.number(static_cast<std::uint8_t>(std::get<std::uint64_t>(value.value)));
      break;
    case GgufType::u16:
      metadata_.number(static_cast<std::uint16_t>(std::get<std::uint64_t>(value.value)));
      break;
    case GgufType::u32:
      metadata_.number(static_cast<std::uint32_t>(std::get<std::uint64_t>(value.value)));
      break;
    case GgufType::u64:
      metadata_.number(std::get<std::uint64_t>(value.value));
      break;
    case GgufType::i8:
      metadata_.number(static_cast<std::int8_t>(std::get<std::int64_t>(value.value)));
      break;
    case GgufType::i16:
      metadata_.number(static_cast<std::int16_t>(std::get<std::int64_t>(value.value)));
      break;
    case GgufType::i32:
      metadata_.number(static_cast<std::int32_t>(std::get<std::int64_t>(value.value)));
      break;
    case GgufType::i64:
      metadata_.number(std::get<std::int64_t>(value.value));
      break;
    case GgufType::f32:
      metadata_.number(static_cast<float>(std::get<double>(value.value)));
      break;
    case GgufType::f64:
      metadata_.number(std::get<double>(value.value));
      break;
    case GgufType::boolean:
      metadata_.number(static_cast<std::uint8_t>(std::get<bool>(value.value)));
      break;
    case GgufType::string:
      put_string(metadata_, std::get<std::string_view>(value.value));
      break;
    case GgufType::array: {
      const auto& array = std::get<GgufArray>(value.value);
      metadata_.number(static_cast<std::uint32_t>(array.element));
      metadata_.number(array.count);
      metadata_.raw(array.raw);
      for (const std::string_view text : array.strings) put_string(metadata_, text);
      break;
    }
  }
}

void GgufWriter::add_tensor(std::string_view name, std::span<const std::uint64_t> dims, TensorType type) {
  CORTENSOR_CHECK(!file_ && !dims.empty() && dims.size() <= 4);
  const arith::FileBlock block = arith::file_block(type);
  CORTENSOR_CHECK(dims[0] % block.elements == 0);
  const bool native = arith::is_segmented(type);
  std::uint64_t size = arith::row_bytes(type, dims[0]);
  put_string(descriptions_, native ? name_in_file(name, type) : std::string(name));
  descriptions_.number(static_cast<std::uint32_t>(dims.size()));
  descriptions_.number(native ? size : dims[0]);
  for (const std::uint64_t dim : dims.subspan(1)) {
    descriptions_.number(dim);
    size *= dim;
  }
  descriptions_.number(native ? kI8 : static_cast<std::uint32_t>(type));
  descriptions_.number(next_offset_);
  sizes_.push_back(size);
  next_offset_ += size + padding(size);
}

Bytes GgufWriter::header() const {
  ByteWriter out;
  out.raw(bytes_of("GGUF"));
  out.number(std::uint32_t{3});
  out.number(std::uint64_t{sizes_.size()});
  out.number(metadata_count_);
  out.raw(metadata_.bytes());
  out.raw(descriptions_.bytes());
  Bytes bytes = out.take();
  bytes.resize(bytes.size() + padding(bytes.size()));
  return bytes;
}

Status GgufWriter::begin(const std::string& path) {
  auto file = OutputFile::create(path);
  if (!file) return file.error();
  return begin(std::move(*file));
}

Status GgufWriter::begin(OutputFile file) {
  file_.emplace(std::move(file));
  return file_->write(header());
}

Status GgufWriter::write(ByteView piece) {
  CORTENSOR_CHECK(file_ && current_ < sizes_.size() && piece.size() <= sizes_[current_] - written_);
  if (auto status = file_->write(piece); !status) return status;
  written_ += piece.size();
  if (written_ < sizes_[current_]) return ok();
  const std::uint64_t size = std::exchange(written_, 0);
  ++current_;
  const Bytes zeros(padding(size));
  return file_->write(zeros);
}

Status GgufWriter::finish() {
  CORTENSOR_CHECK(file_ && current_ == sizes_.size());
  return file_->commit();
}

Bytes GgufWriter::to_bytes(std::span<const ByteView> data) const {
  CORTENSOR_CHECK(data.size() == sizes_.size());
  Bytes bytes = header();
  for (std::size_t i = 0; i < data.size(); ++i) {
    CORTENSOR_CHECK(data[i].size() == sizes_[i]);
    bytes.insert(bytes.end(), data[i].begin(), data[i].end());
    bytes.resize(bytes.size() + padding(data[i].size()));
  }
  return bytes;
}

}  // namespace cortensor::engine
