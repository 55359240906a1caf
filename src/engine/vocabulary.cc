#include "engine/vocabulary.h"

#include <algorithm>
#include <functional>

#include "engine/unicode.h"

namespace cortensor::engine {
namespace {

constexpr std::size_t kMaxTokens = 1 << 20;
constexpr std::uint32_t kNoByte = 256;

Error corrupt(std::string message) {
  return fail(ErrorKind::corrupt, "tokenizer: " + std::move(message));
}

// GPT-2's alphabet: visible Latin-1 characters stand for themselves, the other bytes for U+0100 and on.
constexpr bool stands_for_itself(std::uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

constexpr std::uint32_t kAlphabetEnd = 0x144;

constexpr auto kByteOfLetter = [] {
  std::array<std::uint16_t, kAlphabetEnd> table{};
  for (auto& entry : table) entry = kNoByte;
  std::uint32_t next = 0x100;
  for (std::uint32_t byte = 0; byte < 256; ++byte)
    table[stands_for_itself(byte) ? byte : next++] = static_cast<std::uint16_t>(byte);
  return table;
}();

bool append_from_alphabet(std::string_view spelled, std::vector<char>& out) {
  for (std::size_t at = 0; at < spelled.size();) {
    const Utf8Sequence letter = utf8_at(spelled, at);
    if (letter.kind != Utf8Kind::whole || letter.code >= kAlphabetEnd) return false;
    if (kByteOfLetter[letter.code] == kNoByte) return false;
    out.push_back(static_cast<char>(kByteOfLetter[letter.code]));
    at += letter.length;
  }
  return true;
}

void append_with_spaces(std::string_view spelled, std::vector<char>& out) {
  constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581
  while (!spelled.empty()) {
    const bool space = spelled.starts_with(kSpace);
    out.push_back(space ? ' ' : spelled.front());
    spelled.remove_prefix(space ? kSpace.size() : 1);
  }
}

// "<0x0A>" is the byte 10.
bool append_named_byte(std::string_view spelled, std::vector<char>& out) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  if (spelled.size() != 6 || !spelled.starts_with("<0x") || spelled[5] != '>') return false;
  const int high = digit(spelled[3]), low = digit(spelled[4]);
  if (high < 0 || low < 0) return false;
  out.push_back(static_cast<char>(high * 16 + low));
  return true;
}

bool append_bytes(TokenizerFamily family, TokenKind kind, std::string_view spelled, std::vector<char>& out) {
  if (kind == TokenKind::byte) return append_named_byte(spelled, out);
  if (kind == TokenKind::normal && family == TokenizerFamily::byte_level)
    return append_from_alphabet(spelled, out);
  if (kind == TokenKind::normal) {
    append_with_spaces(spelled, out);
    return true;
  }
  out.insert(out.end(), spelled.begin(), spelled.end());
  return true;
}

std::uint64_t hash_of(std::string_view bytes) {
  return std::hash<std::string_view>()(bytes);
}

}  // namespace

Result<Vocabulary> Vocabulary::from_gguf(const GgufFile& file, TokenizerFamily family) {
  const auto texts = file.get_strings("tokenizer.ggml.tokens");
  if (!texts) return texts.error();
  if (texts->empty() || texts->size() > kMaxTokens)
    return corrupt("expected 1 to " + std::to_string(kMaxTokens) + " tokens, found " +
                   std::to_string(texts->size()));
  std::vector<std::int32_t> kinds(texts->size(), static_cast<std::int32_t>(TokenKind::normal));
  if (file.has("tokenizer.ggml.token_type")) {
    auto stated = file.get_i32s("tokenizer.ggml.token_type");
    if (!stated) return stated.error();
    if (stated->size() != texts->size())
      return corrupt("expected " + std::to_string(texts->size()) + " token types, found " +
                     std::to_string(stated->size()));
    kinds = std::move(*stated);
  }

  Vocabulary vocabulary;
  vocabulary.normal_ = FlatIndex(texts->size());
  vocabulary.offsets_.push_back(0);
  for (std::size_t id = 0; id < texts->size(); ++id) {
    const std::string token = "token " + std::to_string(id);
    if (kinds[id] < 1 || kinds[id] > 6) return corrupt(token + ": unknown type " + std::to_string(kinds[id]));
    const auto kind = static_cast<TokenKind>(kinds[id]);
    if ((*texts)[id].empty()) return corrupt(token + " is empty");
    if (!append_bytes(family, kind, (*texts)[id], vocabulary.arena_))
      return corrupt(token + " is not spelled as its type demands");
    vocabulary.kinds_.push_back(kind);
    vocabulary.offsets_.push_back(vocabulary.arena_.size());
  }
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    const TokenKind kind = vocabulary.kinds_[id];
    if (kind == TokenKind::normal) {
      TokenId& slot =
          vocabulary.normal_.slot(hash_of(vocabulary.bytes(id)), vocabulary.stands_for(vocabulary.bytes(id)));
      if (slot == FlatIndex::kNone) slot = id;
    }
    if (kind != TokenKind::control && kind != TokenKind::user_defined) continue;
    const std::string_view name = vocabulary.bytes(id);
    vocabulary.special_.emplace(name, id);
    vocabulary.special_lengths_.push_back(name.size());
    vocabulary.special_begins_[static_cast<std::uint8_t>(name.front())] = true;
  }
  auto& lengths = vocabulary.special_lengths_;
  std::sort(lengths.begin(), lengths.end(), std::greater<>());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  if (auto status = vocabulary.set_byte_tokens(family); !status) return status.error();
  return vocabulary;
}

Status Vocabulary::set_byte_tokens(TokenizerFamily family) {
  std::array<bool, 256> found{};
  const auto set = [&](TokenId id) {
    const auto byte = static_cast<std::uint8_t>(bytes(id).front());
    if (!found[byte]) byte_tokens_[byte] = id;
    found[byte] = true;
  };
  const TokenKind kind = family == TokenizerFamily::byte_level ? TokenKind::normal : TokenKind::byte;
  for (TokenId id = 0; id < size(); ++id)
    if (kinds_[id] == kind && bytes(id).size() == 1) set(id);
  const auto missing = std::find(found.begin(), found.end(), false);
  if (missing == found.end()) return ok();
  return fail(ErrorKind::unsupported, "tokenizer: no token for the byte " +
                                          std::to_string(missing - found.begin()) +
                                          ", so some texts have no tokens");
}

std::optional<TokenId> Vocabulary::find(std::string_view bytes) const {
  const TokenId id = normal_.find(hash_of(bytes), stands_for(bytes));
  if (id == FlatIndex::kNone) return std::nullopt;
  return id;
}

std::optional<TokenId> Vocabulary::special_at(std::string_view text, std::size_t at, bool control) const {
  if (!special_begins_[static_cast<std::uint8_t>(text[at])]) return std::nullopt;
  for (const std::size_t length : special_lengths_) {
    if (length > text.size() - at) continue;
    const auto found = special_.find(text.substr(at, length));
    if (found != special_.end() && (control || kinds_[found->second] != TokenKind::control))
      return found->second;
  }
  return std::nullopt;
}

std::optional<TokenId> Vocabulary::find_control(std::string_view name) const {
  const auto found = special_.find(name);
  if (found == special_.end() || kinds_[found->second] != TokenKind::control) return std::nullopt;
  return found->second;
}

}  // namespace cortensor::engine
