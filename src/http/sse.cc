#include "http/sse.h"

#include <algorithm>

namespace cortensor::http {

std::string sse_data(std::string_view text) {
  std::string event;
  event.reserve(text.size() + 8);
  while (true) {
    const std::size_t end = text.find_first_of("\r\n");
    event.append("data: ").append(text.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + (text.substr(end, 2) == "\r\n" ? 2 : 1));
  }
  return event += '\n';
}

Headers sse_headers() {
  return {{"Content-Type", "text/event-stream; charset=utf-8"},
          {"Cache-Control", "no-cache"},
          {"X-Accel-Buffering", "no"}};  // reverse proxies pass each event on at once
}

Status SseParser::feed(std::string_view bytes, const OnEvent& on_event, const OnComment& on_comment) {
  while (!bytes.empty()) {
    if (after_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);
    after_cr_ = false;
    const std::size_t end = bytes.find_first_of("\r\n");
    const std::string_view part = bytes.substr(0, end);
    if (line_.size() + event_.data.size() + part.size() > kMaxEventBytes) {
      return fail(ErrorKind::corrupt,
                  "server-sent event: longer than " + std::to_string(kMaxEventBytes) + " bytes");
    }
    line_ += part;
    if (end == std::string_view::npos) break;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    take_line(line_, on_event, on_comment);
    line_.clear();
  }
  return ok();
}

void SseParser::take_line(std::string_view line, const OnEvent& on_event, const OnComment& on_comment) {
  if (line.empty()) {
    if (has_data_) {
      event_.data.pop_back();  // the line break after the last data line
      on_event(event_);
    }
    event_.name = "message";
    event_.data.clear();
    has_data_ = false;
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == 0) {
    if (on_comment) on_comment(line.substr(1));
    return;
  }
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    event_.data.append(value) += '\n';
    has_data_ = true;
  } else if (field == "event") {
    event_.name = value;
  } else if (field == "id") {
    event_.id = value;
  }
}

}  // namespace cortensor::http
