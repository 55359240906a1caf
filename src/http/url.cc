#include "http/url.h"

#include <algorithm>

namespace cortensor::http {

std::string Url::authority() const {
  std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != (tls ? "443" : "80")) text += ":" + port;
  return text;
}

Result<Url> parse_url(std::string_view text) {
  const auto refuse = [&](std::string_view what) {
    return fail(ErrorKind::invalid_input, "URL '" + std::string(text) + "': " + std::string(what));
  };
  Url url;
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    url.tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return refuse("expected http:// or https://");
  }
  if (std::ranges::any_of(rest, [](char c) { return c <= ' ' || c == 0x7f; }))
    return refuse("expected no spaces or control characters");

  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  rest.remove_prefix(authority.size());
  rest = rest.substr(0, rest.find('#'));
  url.target = rest.starts_with('/') ? rest : "/" + std::string(rest);
  if (authority.find('@') != std::string_view::npos) return refuse("expected no user name");

  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return refuse("expected ']' after the address");
    url.host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
  } else {
    url.host = authority.substr(0, authority.find(':'));
    port = authority.substr(url.host.size());
  }
  if (url.host.empty()) return refuse("expected a host");
  if (port.empty()) {
    url.port = url.tls ? "443" : "80";
    return url;
  }
  if (!port.starts_with(':')) return refuse("expected ':' before the port");
  port.remove_prefix(1);
  const bool digits = !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == port.npos;
  url.port = port;
  if (!digits || std::stoi(url.port) > 65535 || std::stoi(url.port) == 0)
    return refuse("expected a port from 1 to 65535");
  return url;
}

}  // namespace cortensor::http
