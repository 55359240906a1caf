// Text from a network for a terminal: what could move the cursor or change colours is left out.
#pragma once

#include <string>
#include <string_view>

namespace cortensor::app {

// Without control characters, line feed and tab excepted. UTF-8 in, UTF-8 out: C1 controls (U+0080 to U+009F)
// go as well.
inline std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f;
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) ++i;
    if (!control && !c1) out += text[i];
  }
  return out;
}

}  // namespace cortensor::app
