// Receipts come from anyone: reading one never crashes, and what was read writes and reads back equal.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "protocol/join_link.h"
#include "protocol/receipt.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cortensor;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto receipt = protocol::receipt_from_json(text)) {
    (void)protocol::problems_of(*receipt, [](auto) { return Digest{}; });
    const auto again = protocol::receipt_from_json(protocol::receipt_to_json(*receipt));
    if (!again || !(*again == *receipt)) std::abort();
  }
  if (const auto link = protocol::parse_join_link(text))
    if (protocol::parse_join_link(protocol::to_string(*link)) != *link) std::abort();
  return 0;
}
