// Any bytes as a frame, in both directions: decoding fails or yields a value within the limits, and such a value
// survives encoding and decoding unchanged.
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "wire/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cortensor;
  const std::string_view bytes = text_of({data, size});
  if (const auto frame = wire::decode_node_frame(bytes)) {
    const auto again = wire::decode_node_frame(wire::encode(*frame));
    CORTENSOR_CHECK(again && *again == *frame);
  }
  if (const auto frame = wire::decode_router_frame(bytes)) {
    const auto again = wire::decode_router_frame(wire::encode(*frame));
    CORTENSOR_CHECK(again && *again == *frame);
  }
  return 0;
}
