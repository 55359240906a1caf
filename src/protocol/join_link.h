// cortensor://HOST:PORT/ROUTER-KEY?token=TOKEN: where a router is, which key it must prove, and the right to
// join.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"

namespace cortensor::protocol {

struct JoinLink {
  std::string host;  // name, IPv4, or IPv6 in brackets
  std::uint16_t port = 0;
  NodeId router;
  std::string token;  // may be empty for a node that was admitted before
  friend bool operator==(const JoinLink&, const JoinLink&) = default;
};

Result<JoinLink> parse_join_link(std::string_view text);
// Whether a router can ever have made such a token: cjt_ and 43 characters of base64url. The message does not
// show it.
Status check_join_token(std::string_view token);
std::string to_string(const JoinLink& link);

}  // namespace cortensor::protocol
