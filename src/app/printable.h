// Text that came from elsewhere (a network, a file) on its way to a terminal: what could move the cursor,
// change colours or be taken for a control is left out.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace cortensor::app {

// UTF-8 without C0 and C1 controls (an escape sequence is then plain characters), line feed and tab excepted;
// bytes that are not UTF-8 become U+FFFD, because some terminals take them for C1.
inline std::string printable(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char lead = byte(i);
    const std::size_t size = lead < 0x80   ? 1
                             : lead < 0xc2 ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
    bool whole = size > 0 && i + size <= text.size();
    for (std::size_t k = 1; whole && k < size; ++k) whole = (byte(i + k) & 0xc0) == 0x80;
    // Neither overlong forms (a control in disguise) nor surrogates, nor what is behind the last code point.
    if (whole && size > 2) {
      const unsigned char next = byte(i + 1);
      whole = !(lead == 0xe0 && next < 0xa0) && !(lead == 0xed && next >= 0xa0) &&
              !(lead == 0xf0 && next < 0x90) && !(lead == 0xf4 && next >= 0x90);
    }
    if (!whole) {
      out += "\xef\xbf\xbd";
      ++i;
      continue;
    }
    const bool control =
        (lead < 0x20 && lead != '\n' && lead != '\t') || lead == 0x7f || (lead == 0xc2 && byte(i + 1) < 0xa0);
    if (!control) out.append(text, i, size);
    i += size;
  }
  return out;
}

// The same for a name or a message that has one line: what follows a line feed could pass for a line of ours.
inline std::string printable_line(std::string_view text) {
  std::string out = printable(text);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return out;
}

}  // namespace cortensor::app
