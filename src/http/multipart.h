// multipart/form-data (RFC 7578), read as it arrives. Strict: one spelling of everything, so that nobody else
// reads another form out of the same bytes.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cortensor::http {

class MultipartReader {
 public:
  static constexpr std::size_t kMaxBoundary = 70;
  static constexpr std::size_t kMaxPartHeader = 4096;
  static constexpr std::size_t kMaxParts = 16;

  struct Part {
    std::string name;
    std::optional<std::string> filename;  // none: not a file; as it was sent, unverified
  };
  struct Events {
    std::function<void(const Part&)> on_part;
    std::function<void(std::string_view)> on_data;  // of the latest part, in pieces of any size
  };

  // By the value of a request's Content-Type. invalid_input: another type, or no usable boundary.
  static Result<MultipartReader> of_content_type(std::string_view content_type);

  // invalid_input: not such a form; nothing may be fed afterwards.
  Status feed(std::string_view bytes, const Events& events);
  // The last part has ended as it should; what comes behind that is thrown away.
  bool complete() const { return stage_ == Stage::after; }

 private:
  enum class Stage { begin, boundary_end, header, data, after };

  explicit MultipartReader(std::string boundary);
  // Takes something from the front of the buffer; false: more is needed.
  Result<bool> step(const Events& events);
  Result<Part> part_of(std::string_view header) const;

  std::string delimiter_;  // with the line end before it
  std::string buffer_;
  std::size_t taken_ = 0;  // of the buffer
  Stage stage_ = Stage::begin;
  std::size_t parts_ = 0;
};

}  // namespace cortensor::http
