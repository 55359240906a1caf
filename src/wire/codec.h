// Protobuf frames <-> protocol values; the one place that knows both. Decoding is total: it accepts exactly
// the values within the limits of protocol/message.h and names the first field that is not. Normative text:
// docs/spec/wire.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "protocol/message.h"

namespace cortensor::wire {

// What a node sends is small (the largest is a Hello with every model, or Steps), so a router need not parse
// more from peers it does not know yet. What a router sends is limited by kMaxFrameBytes.
inline constexpr std::size_t kMaxNodeFrameBytes = 256 << 10;

template <class Message>
struct Frame {
  std::uint64_t sequence = 0;  // 1, 2, 3, … in each direction of a stream
  Message message;
  friend bool operator==(const Frame&, const Frame&) = default;
};
using NodeFrame = Frame<protocol::NodeMessage>;
using RouterFrame = Frame<protocol::RouterMessage>;

// Values beyond the limits encode to something the other side refuses; only the free texts of AttemptFailed
// and Refusal are cut to their limit.
std::string encode(const NodeFrame& frame);
std::string encode(const RouterFrame& frame);

Result<NodeFrame> decode_node_frame(std::string_view bytes);
Result<RouterFrame> decode_router_frame(std::string_view bytes);

// Frames of one direction arrive as 1, 2, 3, …; anything else is an attack or a bug and ends the link.
class SequenceCheck {
 public:
  Status next(std::uint64_t found);

 private:
  std::uint64_t expected_ = 1;
};

}  // namespace cortensor::wire
