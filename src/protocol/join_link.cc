#include "protocol/join_link.h"

#include <algorithm>
#include <charconv>

#include "base/hex.h"

namespace cortensor::protocol {
namespace {

constexpr std::string_view kScheme = "cortensor://";

Error malformed(std::string_view what) {
  return fail(ErrorKind::invalid_input,
              "join link: " + std::string(what) + "; expected cortensor://HOST:PORT/ROUTER-KEY?token=TOKEN");
}

// A name or an IPv4 address, or an IPv6 address in brackets.
bool is_host(std::string_view host) {
  const bool bracketed = host.size() > 2 && host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const std::string_view others = bracketed ? ":." : ".-_";
  return !host.empty() && std::all_of(host.begin(), host.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != others.npos;
  });
}

}  // namespace

Result<JoinLink> parse_join_link(std::string_view text) {
  if (!text.starts_with(kScheme)) return malformed("it does not begin with cortensor://");
  text.remove_prefix(kScheme.size());
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return malformed("the router's key is missing");
  const std::string_view address = text.substr(0, slash);
  std::string_view key = text.substr(slash + 1);

  JoinLink link;
  const auto colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return malformed("host and port are not both there");
  link.host = address.substr(0, colon);
  if (!is_host(link.host)) return malformed("the host is neither a name nor an address (IPv6 in brackets)");
  const std::string_view port = address.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), link.port);
  if (error != std::errc{} || end != port.data() + port.size() || link.port == 0)
    return malformed("the port is not a number from 1 to 65535");

  if (const auto query = key.find('?'); query != std::string_view::npos) {
    const std::string_view parameter = key.substr(query + 1);
    key = key.substr(0, query);
    constexpr std::string_view kToken = "token=";
    if (!parameter.starts_with(kToken)) return malformed("only the parameter token is known");
    link.token = parameter.substr(kToken.size());
    if (auto status = check_join_token(link.token); !status) return status.error();
  }
  if (!bytes32_from_hex(key)) return malformed("the router's key is not 64 hexadecimal digits");
  link.router = NodeId(std::string(key));
  return link;
}

Status check_join_token(std::string_view token) {
  constexpr std::string_view kPrefix = "cjt_";
  constexpr std::size_t kCharacters = 43;
  const bool right = token.size() == kPrefix.size() + kCharacters && token.starts_with(kPrefix) &&
                     std::all_of(token.begin(), token.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                              c == '-' || c == '_';
                     });
  if (right) return ok();
  return fail(ErrorKind::invalid_input, "join token: expected cjt_ and " + std::to_string(kCharacters) +
                                            " letters, digits, '-' or '_', found something else of " +
                                            std::to_string(token.size()) + " bytes");
}

std::string to_string(const JoinLink& link) {
  std::string text =
      std::string(kScheme) + link.host + ":" + std::to_string(link.port) + "/" + link.router.value;
  if (!link.token.empty()) text += "?token=" + link.token;
  return text;
}

}  // namespace cortensor::protocol
