#include "http/request_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <exception>
#include <utility>

#include "http/body_reader.h"

namespace cortensor::http {

namespace beast_http = boost::beast::http;
using boost::beast::error_code;

struct RequestParser::State {
  State(std::size_t headers, std::size_t bodies, const Uploads& sinks)
      : header_limit(headers), body_limit(bodies), uploads(sinks) {
    parser.header_limit(static_cast<std::uint32_t>(headers));
    parser.skip(true);  // the body is read here: Beast 1.81 aborts on a last chunk that comes in two parts
  }

  void refuse(int why, std::string what) {
    stage = Stage::failed;
    status = why;
    message = std::move(what);
  }

  void refuse(const error_code& error) {
    if (error == beast_http::error::header_limit) return refuse_header();
    if (error == beast_http::error::bad_version)
      return refuse(505, "request line: expected HTTP/1.0 or HTTP/1.1");
    refuse(400, "malformed HTTP request: " + error.message());
  }

  void refuse_header() {
    refuse(431, "request line and headers: longer than " + std::to_string(header_limit) + " bytes");
  }

  // The rules that the grammar alone does not hold to.
  void check_header() {
    const auto& message_head = parser.get();
    if (message_head.version() != 10 && message_head.version() != 11)
      return refuse(505, "request line: expected HTTP/1.0 or HTTP/1.1");
    const auto hosts = message_head.count(beast_http::field::host);
    if (hosts > 1 || (hosts == 0 && message_head.version() == 11))
      return refuse(400, "Host header: expected one, found " + std::to_string(hosts));
    if (message_head.count(beast_http::field::transfer_encoding) > 0 && !parser.chunked())
      return refuse(501, "Transfer-Encoding: expected chunked");
    if (path_and_query(message_head.target()).empty())
      return refuse(400, "request target: expected a path that begins with '/'");
  }

  std::size_t take_header(std::string_view bytes) {
    error_code error;
    std::size_t used = 0;
    while (!error && !parser.is_header_done())
      used += parser.put(boost::asio::buffer(bytes.substr(used)), error);
    header_bytes += used;
    const std::size_t waiting = parser.is_header_done() ? 0 : bytes.size() - used;
    if (error && error != beast_http::error::need_more) {
      refuse(error);
    } else if (header_bytes + waiting > header_limit) {
      refuse_header();
    } else if (parser.is_header_done()) {
      stage = Stage::body;
      check_header();
      if (stage == Stage::body) begin_body();
    }
    return used;
  }

  void begin_body() {
    const auto& head = parser.get();
    request.method = std::string(head.method_string());
    const std::string_view target = path_and_query(head.target());
    const std::size_t question = target.find('?');
    request.path = target.substr(0, question);
    if (question != std::string_view::npos) request.query = target.substr(question + 1);
    for (const auto& field : head)
      request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    if (uploads) request.sink = uploads(request);
    if (request.sink) body_limit = request.sink->limit();
    body = parser.chunked() ? BodyReader::chunked(body_limit)
                            : BodyReader::of_length(parser.content_length().value_or(0), body_limit);
    note_body_stage();
  }

  std::size_t take_body(std::string_view bytes) {
    const std::size_t used = body.feed(bytes, [this](std::string_view piece) {
      if (request.sink)
        request.sink->take(piece);
      else
        request.body += piece;
      return true;
    });
    note_body_stage();
    return used;
  }

  void note_body_stage() {
    switch (body.stage()) {
      case BodyReader::Stage::complete:
        stage = Stage::complete;
        return;
      case BodyReader::Stage::too_long:
        return refuse(413, "request body: longer than " + std::to_string(body_limit) + " bytes");
      case BodyReader::Stage::malformed:
        return refuse(400, "malformed HTTP request: a bad chunk");
      case BodyReader::Stage::reading:
      case BodyReader::Stage::stopped:
        return;
    }
  }

  // "/path?query", also of the absolute form "http://host/path?query"; empty when it is neither.
  static std::string_view path_and_query(boost::beast::string_view target) {
    std::string_view text(target.data(), target.size());
    for (const std::string_view scheme : {"http://", "https://"}) {
      if (!text.starts_with(scheme)) continue;
      const std::size_t slash = text.find('/', scheme.size());
      text = slash == std::string_view::npos ? "/" : text.substr(slash);
    }
    return text.starts_with('/') ? text : std::string_view{};
  }

  const std::size_t header_limit;
  std::uint64_t body_limit;
  const Uploads uploads;
  beast_http::request_parser<beast_http::empty_body> parser;  // of the header only
  BodyReader body = BodyReader::of_length(0, 0);
  Request request;
  Stage stage = Stage::header;
  std::size_t header_bytes = 0;  // taken so far
  bool started = false;
  int status = 0;
  std::string message;
};

RequestParser::RequestParser(std::size_t header_limit, std::size_t body_limit, const Uploads& uploads)
    : state_(std::make_unique<State>(header_limit, body_limit, uploads)) {}
RequestParser::~RequestParser() = default;

std::size_t RequestParser::feed(std::string_view bytes) {
  State& state = *state_;
  std::size_t taken = 0;
  // Some clients end a body with an empty line that belongs to nothing.
  while (!state.started && bytes.substr(taken).starts_with("\r\n")) taken += 2;
  if (taken == bytes.size() || (!state.started && bytes.substr(taken) == "\r")) return taken;
  state.started = true;

  try {
    if (state.stage == Stage::header) taken += state.take_header(bytes.substr(taken));
    if (state.stage == Stage::body) taken += state.take_body(bytes.substr(taken));
  } catch (const std::exception&) {  // out of memory and the like: the request is refused, the server stays
    state.refuse(500, "the request could not be read");
  }
  return taken;
}

RequestParser::Stage RequestParser::stage() const {
  return state_->stage;
}
bool RequestParser::started() const {
  return state_->started;
}
BodySink* RequestParser::sink() const {
  return state_->request.sink.get();
}
int RequestParser::status() const {
  return state_->status;
}
const std::string& RequestParser::message() const {
  return state_->message;
}
bool RequestParser::keep_alive() const {
  return state_->parser.keep_alive();
}
bool RequestParser::http_1_0() const {
  return state_->parser.get().version() == 10;
}

bool RequestParser::expects_continue() const {
  const auto value = state_->parser.get()[beast_http::field::expect];
  return equal_ignoring_case({value.data(), value.size()}, "100-continue");
}

Request RequestParser::take() {
  return std::move(state_->request);
}

}  // namespace cortensor::http
