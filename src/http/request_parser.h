// Bytes of a connection to one Request, within limits. Never throws, never keeps more than the limits allow.
// Inside the HTTP layer only.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "http/message.h"

namespace cortensor::http {

class RequestParser {
 public:
  enum class Stage { header, body, complete, failed };

  // `uploads` says which bodies go to a sink, with a limit of its own.
  RequestParser(std::size_t header_limit, std::size_t body_limit, const Uploads& uploads = {});
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Takes what it can use from the front and says how much that was; the caller presents the rest again, with
  // more behind it. Not to be called once complete or failed.
  std::size_t feed(std::string_view bytes);

  Stage stage() const;
  bool started() const;  // any byte taken or waiting

  // From the stage `body` on; null: the body is kept in memory.
  BodySink* sink() const;

  // Once failed: the status to answer with and what was wrong.
  int status() const;
  const std::string& message() const;

  // From the stage `body` on: what the headers ask for.
  bool keep_alive() const;
  bool http_1_0() const;
  bool expects_continue() const;

  // Once complete, and once only; `remote` is left empty.
  Request take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cortensor::http
