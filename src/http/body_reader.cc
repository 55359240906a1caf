#include "http/body_reader.h"

#include <algorithm>
#include <charconv>

namespace cortensor::http {

BodyReader::BodyReader(Part part, std::uint64_t left, std::uint64_t limit)
    : part_(part), left_(left), limit_(limit) {}

BodyReader BodyReader::of_length(std::uint64_t length, std::uint64_t limit) {
  BodyReader reader(Part::data, length, limit);
  if (length > limit) {
    reader.stage_ = Stage::too_long;
  } else if (length == 0) {
    reader.stage_ = Stage::complete;
  }
  return reader;
}

BodyReader BodyReader::chunked(std::uint64_t limit) {
  BodyReader reader(Part::chunk_size, 0, limit);
  reader.in_chunks_ = true;
  return reader;
}

BodyReader BodyReader::until_end(std::uint64_t limit) {
  return BodyReader(Part::to_the_end, limit, limit);
}

std::size_t BodyReader::feed(std::string_view bytes, const Sink& sink) {
  std::size_t taken = 0;
  while (stage_ == Stage::reading && taken < bytes.size()) {
    const std::string_view rest = bytes.substr(taken);
    const bool data = part_ == Part::data || part_ == Part::to_the_end;
    const std::size_t used = data ? take_data(rest, sink) : take_line(rest);
    if (used == 0) break;
    taken += used;
  }
  return taken;
}

void BodyReader::end() {
  if (stage_ == Stage::reading && part_ == Part::to_the_end) stage_ = Stage::complete;
}

std::size_t BodyReader::take_data(std::string_view bytes, const Sink& sink) {
  const std::string_view piece = bytes.substr(0, left_);
  if (piece.empty()) {  // only a body without an announced length gets here
    stage_ = Stage::too_long;
    return 0;
  }
  left_ -= piece.size();
  if (!sink(piece)) {
    stage_ = Stage::stopped;
  } else if (left_ == 0 && part_ == Part::data) {
    if (in_chunks_) {
      part_ = Part::chunk_end;
    } else {
      stage_ = Stage::complete;
    }
  }
  return piece.size();
}

std::size_t BodyReader::take_line(std::string_view bytes) {
  const std::size_t end = bytes.substr(0, kMaxChunkLine).find('\n');
  if (end == bytes.npos) {
    if (bytes.size() >= kMaxChunkLine) stage_ = Stage::malformed;
    return 0;
  }
  // One line ends with one CR LF; any other control character in it is somebody's trick.
  const bool ended = end > 0 && bytes[end - 1] == '\r';
  const std::string_view line = bytes.substr(0, ended ? end - 1 : 0);
  const auto is_control = [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f; };
  if (!ended || std::ranges::any_of(line, is_control)) {
    stage_ = Stage::malformed;
  } else if (part_ == Part::chunk_size) {
    take_chunk_size(line);
  } else if (part_ == Part::trailer) {
    take_trailer(line);
  } else {
    part_ = Part::chunk_size;
    if (!line.empty()) stage_ = Stage::malformed;
  }
  return end + 1;
}

void BodyReader::take_chunk_size(std::string_view line) {
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), left_, 16);
  const std::string_view rest(end, static_cast<std::size_t>(line.data() + line.size() - end));
  const std::size_t extension = rest.find_first_not_of(" \t");
  if (error == std::errc::result_out_of_range) {
    stage_ = Stage::too_long;
  } else if (error != std::errc() || (extension != rest.npos && rest[extension] != ';')) {
    stage_ = Stage::malformed;
  } else if (left_ > limit_) {
    stage_ = Stage::too_long;
  } else {
    limit_ -= left_;
    part_ = left_ == 0 ? Part::trailer : Part::data;
  }
}

void BodyReader::take_trailer(std::string_view line) {
  trailer_bytes_ += line.size() + 2;
  const std::size_t colon = line.find(':');
  if (line.empty()) {
    stage_ = Stage::complete;
  } else if (trailer_bytes_ > kMaxTrailerBytes || colon == 0 || colon == line.npos || line.front() <= ' ') {
    stage_ = Stage::malformed;
  }
}

}  // namespace cortensor::http
