#include "engine/llama3_split.h"

#include "engine/unicode.h"

namespace cortensor::engine {
namespace {

// One step of the text: a code point, or a byte that belongs to none (class other).
struct Unit {
  std::uint32_t code = 0;
  std::uint8_t length = 0;  // 0: past the end
  CodeClass kind = CodeClass::other;

  bool is(CodeClass wanted) const { return length > 0 && kind == wanted; }
  bool is_newline() const { return length > 0 && (code == '\r' || code == '\n'); }
};

Unit unit_at(std::string_view text, std::size_t at) {
  if (at >= text.size()) return {};
  const Utf8Sequence sequence = utf8_at(text, at);
  if (sequence.kind != Utf8Kind::whole) return {0xfffd, 1, CodeClass::other};
  return {sequence.code, sequence.length, class_of(sequence.code)};
}

std::size_t skip_class(std::string_view text, std::size_t at, CodeClass kind) {
  for (Unit unit = unit_at(text, at); unit.is(kind); unit = unit_at(text, at)) at += unit.length;
  return at;
}

// Lower case of what case-insensitive matching calls equal to an ASCII letter; U+017F is the long s.
char folded(const Unit& unit) {
  if (unit.code == 0x17f) return 's';
  if (unit.code >= 'A' && unit.code <= 'Z') return static_cast<char>(unit.code + 0x20);
  return unit.code < 0x80 ? static_cast<char>(unit.code) : '\0';
}

// Length of 's 't 're 've 'm 'll 'd at `at`, 0 if there is none.
std::size_t contraction(std::string_view text, std::size_t at) {
  if (text[at] != '\'') return 0;
  const Unit first = unit_at(text, at + 1);
  if (first.length == 0) return 0;
  const char a = folded(first);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 1u + first.length;
  const Unit second = unit_at(text, at + 1 + first.length);
  if (second.length == 0) return 0;
  const char b = folded(second);
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
    return 1u + first.length + second.length;
  return 0;
}

// Length of the piece of a run of spaces. With a line break in the run: up to the last one. Else all but the
// last space, which goes with what follows; the last alone if there is no other.
std::size_t space_piece(std::string_view text, std::size_t begin) {
  std::size_t at = begin, last_begin = begin, after_newline = begin;
  for (Unit unit = unit_at(text, at); unit.is(CodeClass::space); unit = unit_at(text, at)) {
    last_begin = at;
    at += unit.length;
    if (unit.is_newline()) after_newline = at;
  }
  if (after_newline > begin) return after_newline - begin;
  if (at == text.size() || last_begin == begin) return at - begin;
  return last_begin - begin;
}

}  // namespace

std::size_t llama3_piece(std::string_view text, std::size_t at) {
  if (const std::size_t length = contraction(text, at)) return length;
  const Unit first = unit_at(text, at);
  if (first.is(CodeClass::letter)) return skip_class(text, at, CodeClass::letter) - at;
  if (first.is(CodeClass::number)) {
    std::size_t end = at + first.length;
    for (int digits = 1; digits < 3; ++digits)
      if (const Unit next = unit_at(text, end); next.is(CodeClass::number)) end += next.length;
    return end - at;
  }
  const Unit second = unit_at(text, at + first.length);
  if (second.is(CodeClass::letter) && !first.is_newline())
    return skip_class(text, at + first.length, CodeClass::letter) - at;
  if (first.is(CodeClass::other) || (first.code == ' ' && second.is(CodeClass::other))) {
    std::size_t end = skip_class(text, at + first.length, CodeClass::other);
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
    return end - at;
  }
  return space_piece(text, at);
}

}  // namespace cortensor::engine
