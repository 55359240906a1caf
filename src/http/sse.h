// Server-sent events: the text form, and an incremental parser of it for the client's side.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace cortensor::http {

// "data: <text>\n\n"; a line break in the text begins another data line, as the format demands.
std::string sse_data(std::string_view text);
// The headers that a stream of events is sent with.
Headers sse_headers();

struct SseEvent {
  std::string name = "message";
  std::string data;
  std::string id;
};

class SseParser {
 public:
  static constexpr std::size_t kMaxEventBytes = 4 * 1024 * 1024;

  using OnEvent = std::function<void(const SseEvent& event)>;
  using OnComment = std::function<void(std::string_view text)>;  // behind the colon

  // Takes the next bytes, cut anywhere, and calls back for each event they complete. Fails when one event is
  // longer than kMaxEventBytes; the parser is then of no more use.
  Status feed(std::string_view bytes, const OnEvent& on_event, const OnComment& on_comment = {});

 private:
  void take_line(std::string_view line, const OnEvent& on_event, const OnComment& on_comment);

  std::string line_;  // the unfinished last line
  SseEvent event_;
  bool has_data_ = false;
  bool after_cr_ = false;  // a \n that follows belongs to the \r before
};

}  // namespace cortensor::http
