// The bytes behind a header as a body: of a known length, in chunks, or up to the end of the connection.
// Strict, since two readers that disagree about where a body ends let one client speak in another's name.
// Inside the HTTP layer only.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace cortensor::http {

class BodyReader {
 public:
  enum class Stage { reading, complete, too_long, malformed, stopped };
  // Takes a piece of the body; false stops the reader.
  using Sink = std::function<bool(std::string_view)>;

  static constexpr std::size_t kMaxChunkLine = 256;      // the size with its extensions, or one trailer
  static constexpr std::size_t kMaxTrailerBytes = 8192;  // all trailers, which are thrown away

  // Longer than `limit` is too_long, as soon as that is known.
  static BodyReader of_length(std::uint64_t length, std::uint64_t limit);
  static BodyReader chunked(std::uint64_t limit);
  static BodyReader until_end(std::uint64_t limit);

  // Takes what it can use from the front and says how much that was; the caller presents the rest again, with
  // more behind it. Takes nothing unless the stage is `reading`.
  std::size_t feed(std::string_view bytes, const Sink& sink);
  // The connection ended: completes a body that lasts until then, and no other.
  void end();

  Stage stage() const { return stage_; }

 private:
  enum class Part { data, to_the_end, chunk_size, chunk_end, trailer };

  BodyReader(Part part, std::uint64_t left, std::uint64_t limit);
  std::size_t take_data(std::string_view bytes, const Sink& sink);
  std::size_t take_line(std::string_view bytes);
  void take_chunk_size(std::string_view line);
  void take_trailer(std::string_view line);

  Stage stage_ = Stage::reading;
  Part part_;
  bool in_chunks_ = false;
  std::uint64_t left_;   // of the body or of the chunk
  std::uint64_t limit_;  // how much body may still be announced
  std::size_t trailer_bytes_ = 0;
};

}  // namespace cortensor::http
