// Any bytes as requests of a connection, presented whole and in pieces: the parser stays within its limits
// and finds the same requests either way. Then the same bytes as an event stream, cut
// in two ways.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "http/request_parser.h"
#include "http/sse.h"
#include "http/url.h"

namespace {

using namespace cortensor;
using Stage = http::RequestParser::Stage;

constexpr std::size_t kHeaderLimit = 512;
constexpr std::size_t kBodyLimit = 1024;

// Every request up to the first refusal, as one text each. (How early a request that never ends is refused
// depends on the cuts; which requests there are does not.)
std::vector<std::string> requests(std::string_view bytes, std::size_t step) {
  std::vector<std::string> found;
  std::string waiting;
  auto parser = std::make_unique<http::RequestParser>(kHeaderLimit, kBodyLimit);
  while (!bytes.empty()) {
    waiting += bytes.substr(0, step);
    bytes.remove_prefix(std::min(step, bytes.size()));
    while (true) {
      waiting.erase(0, parser->feed(waiting));
      if (parser->stage() == Stage::failed) {
        CORTENSOR_CHECK(parser->status() >= 400 && !parser->message().empty());
        return found;
      }
      if (parser->stage() != Stage::complete) break;
      const http::Request request = parser->take();
      CORTENSOR_CHECK(request.path.starts_with('/') && request.body.size() <= kBodyLimit);
      static_cast<void>(request.bearer_token());
      static_cast<void>(request.query_value("a"));
      found.push_back(request.method + " " + request.path + "?" + request.query + "\n" + request.body);
      parser = std::make_unique<http::RequestParser>(kHeaderLimit, kBodyLimit);
      if (waiting.empty()) break;
    }
    CORTENSOR_CHECK(waiting.size() <= std::max(step, kHeaderLimit));
  }
  return found;
}

std::vector<std::string> events(std::string_view bytes, std::size_t step) {
  std::vector<std::string> found;
  http::SseParser parser;
  while (!bytes.empty()) {
    const auto note = [&](const http::SseEvent& event) {
      found.push_back(event.name + "\n" + event.id + "\n" + event.data);
    };
    CORTENSOR_CHECK(parser.feed(bytes.substr(0, step), note));
    bytes.remove_prefix(std::min(step, bytes.size()));
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = text_of({data, size});
  CORTENSOR_CHECK(requests(bytes, 7) == requests(bytes, 1));
  static_cast<void>(requests(bytes, std::max<std::size_t>(size, 1)));
  CORTENSOR_CHECK(events(bytes, 1) == events(bytes, std::max<std::size_t>(size, 1)));
  static_cast<void>(http::parse_url(bytes));
  return 0;
}
