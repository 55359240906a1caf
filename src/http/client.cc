#include "http/client.h"

#include <netinet/tcp.h>

#include <array>
#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <limits>
#include <utility>

#include "base/runtime/executor.h"
#include "http/body_reader.h"
#include "http/tls.h"
#include "http/url.h"

namespace cortensor::http {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
namespace beast_http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

std::string request_text(const ClientRequest& request, const Url& url) {
  std::string text = request.method + " " + url.target + " HTTP/1.1\r\n";
  const auto add = [&](std::string_view name, std::string_view value) {
    text.append(name).append(": ").append(value).append("\r\n");
  };
  if (!find_header(request.headers, "Host")) add("Host", url.authority());
  for (const auto& [name, value] : request.headers) add(name, value);
  const bool carries_body = !request.body.empty() || request.method == "POST" || request.method == "PUT";
  if (carries_body && !find_header(request.headers, "Content-Length"))
    add("Content-Length", std::to_string(request.body.size()));
  return text += "\r\n" + request.body;
}

bool has_line_break(std::string_view text) {
  return text.find_first_of("\r\n") != text.npos;
}

}  // namespace

struct Client::State {
  explicit State(ClientOptions with) : options(std::move(with)) {}

  // Runs one asynchronous operation to its end, to the time limit, or to cancel(). `start` gets the function
  // to call with the operation's result.
  template <class Start>
  Status await(std::string_view doing, std::chrono::milliseconds limit, Start start) {
    std::optional<error_code> outcome;
    context.restart();
    start([&outcome](const error_code& error, auto&&...) { outcome = error; });
    const Clock::time_point deadline = Clock::now() + limit;
    while (!outcome && !cancelled && context.run_one_until(deadline) > 0) {
    }
    if (!outcome) {
      abort();
      while (!outcome) context.run_one();
      if (!cancelled) {
        return fail(ErrorKind::timed_out,
                    std::string(doing) + ": no progress within " + std::to_string(limit.count()) + " ms");
      }
    }
    if (cancelled) return fail(ErrorKind::cancelled, std::string(doing) + ": cancelled");
    last_error = *outcome;
    if (last_error) return fail(ErrorKind::unavailable, std::string(doing) + ": " + last_error.message());
    return ok();
  }

  void abort() {
    error_code ignored;
    resolver.cancel();
    socket.close(ignored);
  }

  void disconnect() {
    abort();
    tls.reset();
    peer.clear();
  }

  // Whether the connection of the last request leads there and its server has neither closed it nor said
  // anything since.
  bool connected_to(const std::string& wanted) {
    if (peer.empty() || peer != wanted) return false;
    char byte = 0;
    error_code error;
    socket.non_blocking(true, error);
    socket.receive(asio::buffer(&byte, 1), tcp::socket::message_peek, error);
    return error == asio::error::would_block;
  }

  template <class Use>
  void with_stream(Use use) {
    if (tls) {
      use(*tls);
    } else {
      use(socket);
    }
  }

  Status connect(const Url& url) {
    const std::string doing = "connect to " + url.authority();
    tcp::resolver::results_type found;
    Status step = await(doing, options.connect_timeout, [&](auto done) {
      resolver.async_resolve(url.host, url.port, [&found, done](const error_code& error, auto results) {
        found = std::move(results);
        done(error);
      });
    });
    if (!step) return step;
    step =
        await(doing, options.connect_timeout, [&](auto done) { asio::async_connect(socket, found, done); });
    if (!step) return step;
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    // A peer that has silently gone is noticed as soon as one that does not answer the connection.
    const unsigned limit = static_cast<unsigned>(options.connect_timeout.count());
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
    return url.tls ? handshake(url, "TLS with " + url.authority()) : ok();
  }

  Status handshake(const Url& url, const std::string& doing) {
    const bool pinned = !options.pinned_sha256.empty();
    auto made = client_tls(options.ca_file, pinned);
    if (!made) return std::move(made).error();
    tls_context = std::move(*made);
    tls.emplace(socket, *tls_context);
    error_code error;
    const bool is_address = (asio::ip::make_address(url.host, error), !error);
    if (!is_address) SSL_set_tlsext_host_name(tls->native_handle(), url.host.c_str());
    if (!pinned) tls->set_verify_callback(ssl::host_name_verification(url.host), error);

    Status step = await(doing, options.connect_timeout,
                        [&](auto done) { tls->async_handshake(ssl::stream_base::client, done); });
    if (!step && step.error().kind == ErrorKind::unavailable) {
      const std::string why = pinned ? std::string() : verification_failure(tls->native_handle());
      const bool ours = last_error.category() == asio::error::get_ssl_category() ||
                        last_error.category() == ssl::error::get_stream_category();
      if (!why.empty())
        return fail(ErrorKind::unauthenticated, doing + ": the certificate is not accepted: " + why);
      if (ours) return fail(ErrorKind::unauthenticated, step.error().message);
    }
    if (!step || !pinned) return step;
    const std::string shown = peer_certificate_sha256(tls->native_handle());
    if (shown == options.pinned_sha256) return ok();
    return fail(ErrorKind::unauthenticated,
                doing + ": expected the certificate " + options.pinned_sha256 + ", found " + shown);
  }

  Status send(std::string_view text, const std::string& doing) {
    while (!text.empty()) {
      std::size_t sent = 0;
      Status step = await(doing, options.idle_timeout, [&](auto done) {
        with_stream([&](auto& stream) {
          stream.async_write_some(asio::buffer(text),
                                  [&sent, done](const error_code& error, std::size_t size) {
                                    sent = size;
                                    done(error);
                                  });
        });
      });
      if (!step) return step;
      text.remove_prefix(sent);
    }
    return ok();
  }

  // Appends what the server sends next; false at the end of the connection.
  Result<bool> read_more(std::string& input, const std::string& doing) {
    std::array<char, 16 * 1024> buffer;
    std::size_t received = 0;
    Status step = await(doing, options.idle_timeout, [&](auto done) {
      with_stream([&](auto& stream) {
        stream.async_read_some(asio::buffer(buffer),
                               [&received, done](const error_code& error, std::size_t size) {
                                 received = size;
                                 done(error);
                               });
      });
    });
    input.append(buffer.data(), received);
    if (step) return true;
    if (step.error().kind == ErrorKind::unavailable && last_error == asio::error::eof) return false;
    return std::move(step).error();
  }

  // The status and headers of the answer, interim answers skipped; the body's first bytes stay in `input`.
  Result<BodyReader> receive_header(bool head, ClientResponse& response, std::string& input,
                                    const std::string& doing) {
    std::optional<beast_http::response_parser<beast_http::empty_body>> parser;
    do {
      parser.emplace();
      parser->skip(true);  // the body has a reader of its own
      while (!parser->is_header_done()) {
        error_code error;
        if (!input.empty()) input.erase(0, parser->put(asio::buffer(input), error));
        if (error && error != beast_http::error::need_more)
          return fail(ErrorKind::corrupt, doing + ": not an HTTP answer: " + error.message());
        if (parser->is_header_done()) break;
        auto more = read_more(input, doing);
        if (!more) return std::move(more).error();
        if (!*more)
          return fail(ErrorKind::unavailable, doing + ": the connection ended before the answer did");
      }
      response.status = static_cast<int>(parser->get().result_int());
    } while (response.status / 100 == 1);
    for (const auto& field : parser->get())
      response.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));

    stays_open = parser->get().keep_alive();
    constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();
    if (head || response.status == 204 || response.status == 304) return BodyReader::of_length(0, 0);
    if (parser->chunked()) return BodyReader::chunked(kNoLimit);
    if (const auto length = parser->content_length()) return BodyReader::of_length(*length, kNoLimit);
    stays_open = false;
    return BodyReader::until_end(kNoLimit);
  }

  // `input`: what came behind the answer.
  Result<ClientResponse> receive(bool head, const std::function<bool(std::string_view)>* on_chunk,
                                 std::string& input, const std::string& doing) {
    ClientResponse response;
    auto body = receive_header(head, response, input, doing);
    if (!body) return std::move(body).error();
    const bool stream = on_chunk != nullptr && response.status / 100 == 2;
    const BodyReader::Sink sink = [&](std::string_view piece) {
      if (stream) return (*on_chunk)(piece);
      if (piece.size() > options.max_body_bytes - response.body.size()) return false;
      response.body += piece;
      return true;
    };
    while (true) {
      input.erase(0, body->feed(input, sink));
      switch (body->stage()) {
        case BodyReader::Stage::complete:
          return response;
        case BodyReader::Stage::stopped:
          if (stream) return fail(ErrorKind::cancelled, doing + ": cancelled");
          return fail(ErrorKind::corrupt, doing + ": the answer is longer than " +
                                              std::to_string(options.max_body_bytes) + " bytes");
        case BodyReader::Stage::too_long:
        case BodyReader::Stage::malformed:
          return fail(ErrorKind::corrupt, doing + ": not an HTTP answer: a bad chunk");
        case BodyReader::Stage::reading:
          break;
      }
      auto more = read_more(input, doing);
      if (!more) return std::move(more).error();
      if (*more) continue;
      body->end();
      if (body->stage() == BodyReader::Stage::complete) return response;
      return fail(ErrorKind::unavailable, doing + ": the connection ended before the answer did");
    }
  }

  Result<ClientResponse> run(const ClientRequest& request,
                             const std::function<bool(std::string_view)>* on_chunk) {
    if (cancelled) return fail(ErrorKind::cancelled, "request: cancelled");
    auto url = parse_url(request.url);
    if (!url) return std::move(url).error();
    if (request.method.empty() || request.method.find_first_of(" \r\n") != std::string::npos)
      return fail(ErrorKind::invalid_input, "request method: expected one word");
    for (const auto& [name, value] : request.headers)
      if (has_line_break(name) || has_line_break(value))
        return fail(ErrorKind::invalid_input, "request header " + name + ": expected no line break");

    return exchange(*url, request, on_chunk);
  }

  Result<ClientResponse> exchange(const Url& url, const ClientRequest& request,
                                  const std::function<bool(std::string_view)>* on_chunk) {
    const std::string there = (url.tls ? "https " : "http ") + url.host + " " + url.port;
    if (!connected_to(there)) {
      disconnect();
      if (Status step = connect(url); !step) return disconnect(), std::move(step).error();
    }
    peer.clear();
    const std::string doing =
        request.method + " " + url.authority() + url.target.substr(0, url.target.find('?'));
    // A server may refuse a long body before it has read it all: then the answer counts, not the failed
    // write.
    Status sent = send(request_text(request, url), doing);
    if (!sent && sent.error().kind != ErrorKind::unavailable) return disconnect(), std::move(sent).error();
    std::string input;
    auto response = receive(request.method == "HEAD", on_chunk, input, doing);
    if (response && sent && stays_open && input.empty())
      peer = there;
    else
      disconnect();
    if (!response && !sent && response.error().kind == ErrorKind::unavailable) return std::move(sent).error();
    return response;
  }

  const ClientOptions options;
  asio::io_context context{1};
  tcp::resolver resolver{context};
  tcp::socket socket{context};
  TlsContext tls_context;
  std::optional<ssl::stream<tcp::socket&>> tls;
  bool stays_open = false;  // the connection, behind the answer that is being read
  std::string peer;         // to whom the connection leads that is free for another request
  error_code last_error;
  std::atomic<bool> cancelled = false;
};

Client::Client(ClientOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Client::~Client() = default;

Result<ClientResponse> Client::request(const ClientRequest& request) {
  return state_->run(request, nullptr);
}

Result<ClientResponse> Client::request_stream(const ClientRequest& request,
                                              const std::function<bool(std::string_view)>& on_chunk) {
  return state_->run(request, &on_chunk);
}

void Client::cancel() {
  state_->cancelled = true;
  asio::post(state_->context, [] {});  // wakes the waiting thread
}

}  // namespace cortensor::http
