#include "engine/grammar_syntax.h"

#include <algorithm>
#include <map>
#include <optional>

#include "engine/grammar.h"
#include "engine/unicode.h"

namespace cortensor::engine {
namespace {

constexpr int kMaxNesting = 64;
constexpr std::uint32_t kMaxRepeat = 10000;
constexpr std::uint32_t kLastCodePoint = 0x10ffff;

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name(char c) {
  return is_name_start(c) || is_digit(c) || c == '-' || c == '_';
}
void append_utf8(std::string& out, std::uint32_t code) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    tail(12), tail(6), tail(0);
  }
}
bool is_surrogate(std::uint32_t code) {
  return code >= 0xd800 && code <= 0xdfff;
}

// Rising and disjoint, without surrogates; or everything else.
std::vector<CodePoints> normalised(std::vector<CodePoints> ranges, bool negated) {
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.low < b.low; });
  std::vector<CodePoints> merged;
  for (const CodePoints& range : ranges) {
    if (!merged.empty() && range.low <= merged.back().high + 1)
      merged.back().high = std::max(merged.back().high, range.high);
    else
      merged.push_back(range);
  }
  if (negated) {
    std::vector<CodePoints> gaps;
    std::uint32_t next = 0;
    for (const CodePoints& range : merged) {
      if (range.low > next) gaps.push_back({next, range.low - 1});
      next = range.high + 1;
    }
    if (next <= kLastCodePoint) gaps.push_back({next, kLastCodePoint});
    merged = std::move(gaps);
  }
  std::vector<CodePoints> out;
  for (const CodePoints& range : merged) {
    if (range.low < 0xd800) out.push_back({range.low, std::min(range.high, 0xd7ffu)});
    if (range.high > 0xdfff) out.push_back({std::max(range.low, 0xe000u), range.high});
  }
  return out;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<GrammarSyntax> parse() {
    skip_space();
    while (!failed() && at_ < text_.size()) rule();
    if (!failed()) finish();
    if (error_) return *error_;
    return std::move(syntax_);
  }

 private:
  bool failed() const { return error_.has_value(); }
  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }

  void refuse(const std::string& what, std::size_t line) {
    if (!error_)
      error_ = fail(ErrorKind::invalid_input, "grammar: line " + std::to_string(line) + ": " + what);
  }
  void refuse(const std::string& what) { refuse(what, line()); }
  std::size_t line() const {
    return 1 + static_cast<std::size_t>(
                   std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n'));
  }

  void skip_space() {
    while (!at_end()) {
      if (peek() == '#')
        at_ = std::min(text_.find('\n', at_), text_.size());
      else if (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')
        ++at_;
      else
        return;
    }
  }

  bool take(std::string_view what) {
    if (!text_.substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }

  std::string_view name() {
    const std::size_t begin = at_;
    if (is_name_start(peek()))
      while (!at_end() && is_name(peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  // Whether a rule's definition begins here.
  bool at_definition() {
    const std::size_t begin = at_;
    const bool named = !name().empty();
    skip_space();
    const bool definition = named && text_.substr(at_).starts_with("::=");
    at_ = begin;
    return definition;
  }

  std::uint32_t index_of(std::string_view name) {
    const auto [at, fresh] =
        names_.try_emplace(std::string(name), static_cast<std::uint32_t>(syntax_.rules.size()));
    if (fresh) {
      if (syntax_.rules.size() == kMaxGrammarRules)
        refuse("expected at most " + std::to_string(kMaxGrammarRules) + " rules");
      syntax_.rules.push_back({at->first, line(), false, {}});
    }
    return at->second;
  }

  void rule() {
    if (!at_definition()) return refuse("expected a rule, as in: name ::= ...");
    const std::uint32_t index = index_of(name());
    skip_space();
    take("::=");
    if (syntax_.rules[index].defined)
      return refuse("rule '" + syntax_.rules[index].name + "' is defined twice");
    syntax_.rules[index].defined = true;
    GrammarExpr body = choice();
    if (!failed() && !at_end() && !at_definition()) refuse("expected an element or the next rule");
    syntax_.rules[index].body = std::move(body);
  }

  GrammarExpr choice() {
    GrammarExpr out;
    out.kind = GrammarExpr::Kind::choice;
    if (++nesting_ > kMaxNesting)
      refuse("expected at most " + std::to_string(kMaxNesting) + " brackets in one another");
    do out.parts.push_back(sequence());
    while (!failed() && take("|"));
    --nesting_;
    return out;
  }

  GrammarExpr sequence() {
    GrammarExpr out;
    for (;;) {
      skip_space();
      if (failed() || at_end() || peek() == '|' || peek() == ')' || at_definition()) return out;
      GrammarExpr one = element();
      if (!failed()) repeat(one);
      out.parts.push_back(std::move(one));
    }
  }

  GrammarExpr element() {
    GrammarExpr out;
    if (take("(")) {
      out = choice();
      if (!failed() && !take(")")) refuse("expected ')'");
    } else if (take("\"")) {
      out.kind = GrammarExpr::Kind::text;
      while (!failed() && !take("\"")) {
        const std::uint32_t code = character('"');
        if (is_surrogate(code)) refuse("expected a character, found a surrogate");
        append_utf8(out.text, code);
      }
    } else if (take("[")) {
      out = characters();
    } else if (take(".")) {
      out.kind = GrammarExpr::Kind::characters;
      out.characters = normalised({}, true);
    } else if (const std::string_view rule = name(); !rule.empty()) {
      out.kind = GrammarExpr::Kind::rule;
      out.rule = index_of(rule);
    } else {
      refuse("expected a text, characters, a bracket or the name of a rule");
    }
    return out;
  }

  GrammarExpr characters() {
    GrammarExpr out;
    out.kind = GrammarExpr::Kind::characters;
    const bool negated = take("^");
    std::vector<CodePoints> ranges;
    while (!failed() && !take("]")) {
      CodePoints range;
      range.low = range.high = character(']');
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        range.high = character(']');
      }
      if (range.high < range.low) refuse("expected a rising range of characters");
      ranges.push_back(range);
    }
    if (failed()) return out;
    out.characters = normalised(std::move(ranges), negated);
    if (out.characters.empty()) refuse("expected at least one character between '[' and ']'");
    return out;
  }

  // One character of a text or of a set that `closing` ends.
  std::uint32_t character(char closing) {
    if (at_end()) return refuse(std::string("expected '") + closing + "' at the end"), 0;
    if (peek() != '\\') {
      const Utf8Sequence sequence = utf8_at(text_, at_);
      if (sequence.kind != Utf8Kind::whole) return refuse("expected UTF-8"), 0;
      const std::uint32_t code = sequence.code;
      at_ += sequence.length;
      return code;
    }
    ++at_;
    const char escape = peek();
    if (!at_end()) ++at_;
    switch (escape) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<std::uint32_t>(escape);
      default:
        return refuse("unknown escape after '\\'"), 0;
    }
  }

  std::uint32_t hex(int digits) {
    std::uint32_t code = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const char c = peek();
      const int digit = is_digit(c)            ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return refuse("expected " + std::to_string(digits) + " hexadecimal digits"), 0;
      code = code << 4 | static_cast<std::uint32_t>(digit);
    }
    if (code > kLastCodePoint) return refuse("expected a code point up to 10FFFF"), 0;
    return code;
  }

  // * + ? {m} {m,} {m,n} behind an element.
  void repeat(GrammarExpr& one) {
    std::uint32_t least = 0, most = GrammarExpr::kUnbounded;
    if (take("+")) {
      least = 1;
    } else if (take("?")) {
      most = 1;
    } else if (take("{")) {
      least = most = count();
      if (take(",")) most = peek() == '}' ? GrammarExpr::kUnbounded : count();
      if (!take("}")) refuse("expected '}'");
      if (most < least) refuse("expected a rising range of repetitions");
    } else if (!take("*")) {
      return;
    }
    GrammarExpr out;
    out.kind = GrammarExpr::Kind::repeat;
    out.least = least;
    out.most = most;
    out.parts.push_back(std::move(one));
    one = std::move(out);
  }

  std::uint32_t count() {
    std::uint32_t value = 0;
    if (!is_digit(peek())) refuse("expected a number of repetitions");
    while (is_digit(peek()) && value <= kMaxRepeat)
      value = 10 * value + static_cast<std::uint32_t>(text_[at_++] - '0');
    if (value > kMaxRepeat) refuse("expected at most " + std::to_string(kMaxRepeat) + " repetitions");
    return value;
  }

  void finish() {
    for (const GrammarRule& rule : syntax_.rules)
      if (!rule.defined) return refuse("rule '" + rule.name + "' is not defined", rule.line);
    const auto root = names_.find("root");
    if (root == names_.end()) return refuse("expected a rule 'root'", 1);
    syntax_.root = root->second;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int nesting_ = 0;
  std::map<std::string, std::uint32_t, std::less<>> names_;
  GrammarSyntax syntax_;
  std::optional<Error> error_;
};

}  // namespace

Result<GrammarSyntax> parse_grammar(std::string_view text) {
  return Parser(text).parse();
}

}  // namespace cortensor::engine
