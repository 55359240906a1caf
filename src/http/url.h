// The URLs that our client understands. Inside the HTTP layer only.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace cortensor::http {

struct Url {
  bool tls = false;
  std::string host;  // without the brackets of an IPv6 address
  std::string port;
  std::string target;  // path and query, begins with '/'

  // As in a Host header: with brackets and port where they are needed.
  std::string authority() const;
};

// http[s]://host[:port][/path][?query]; anything else, also user names and spaces, is refused.
Result<Url> parse_url(std::string_view text);

}  // namespace cortensor::http
