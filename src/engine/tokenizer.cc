#include "engine/tokenizer.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "arith/bits.h"
#include "crypto/sha256.h"
#include "engine/bpe_merge.h"
#include "engine/llama3_split.h"
#include "engine/unicode.h"
#include "engine/vocabulary.h"

namespace cortensor::engine {
namespace {

Error corrupt(std::string message) {
  return fail(ErrorKind::corrupt, "tokenizer: " + std::move(message));
}

// The merge rules of a byte-level vocabulary: "left right" per line, best first.
Result<MergeTable> read_merges(const GgufFile& file, const Vocabulary& vocabulary) {
  const auto lines = file.get_strings("tokenizer.ggml.merges");
  if (!lines) return lines.error();
  // The halves are spelled as the tokens are, so they are looked up by their spelling.
  std::unordered_map<std::string_view, TokenId> spelled;
  const auto texts = file.get_strings("tokenizer.ggml.tokens");
  if (!texts) return texts.error();
  for (TokenId id = 0; id < vocabulary.size(); ++id)
    if (vocabulary.kind(id) == TokenKind::normal) spelled.emplace((*texts)[id], id);

  MergeTable table(lines->size());
  std::string joined;
  for (std::size_t rank = 0; rank < lines->size(); ++rank) {
    const std::string_view line = (*lines)[rank];
    const std::size_t space = line.find(' ', 1);
    if (space == std::string_view::npos) return corrupt("merge " + std::to_string(rank) + " is not a pair");
    const auto left = spelled.find(line.substr(0, space));
    const auto right = spelled.find(line.substr(space + 1));
    joined.assign(line.substr(0, space)).append(line.substr(space + 1));
    const auto whole = spelled.find(joined);
    if (left == spelled.end() || right == spelled.end() || whole == spelled.end())
      return corrupt("merge " + std::to_string(rank) + " names a token that is not in the vocabulary");
    table.add(left->second, right->second, whole->second);
  }
  return table;
}

// Larger scores go first.
std::uint32_t rank_of_score(float score) {
  const std::uint32_t bits = arith::bits_of(score + 0.0f);
  return (bits & 0x80000000u) != 0 ? bits : ~(bits | 0x80000000u);
}

Result<std::vector<std::uint32_t>> read_scores(const GgufFile& file, std::size_t tokens) {
  const auto scores = file.get_f32s("tokenizer.ggml.scores");
  if (!scores) return scores.error();
  if (scores->size() != tokens)
    return corrupt("expected " + std::to_string(tokens) + " scores, found " + std::to_string(scores->size()));
  std::vector<std::uint32_t> ranks;
  for (const float score : *scores) {
    if (std::isnan(score)) return corrupt("a score is not a number");
    ranks.push_back(rank_of_score(score));
  }
  return ranks;
}

// A token id from the metadata; absent when the key is.
Result<std::optional<TokenId>> read_token_id(const GgufFile& file, std::string_view key,
                                             std::uint32_t vocab_size) {
  if (!file.has(key)) return std::optional<TokenId>();
  const auto id = file.get_u32(key);
  if (!id) return id.error();
  if (*id >= vocab_size)
    return corrupt(std::string(key) + ": expected an id below " + std::to_string(vocab_size) + ", found " +
                   std::to_string(*id));
  return std::optional<TokenId>(*id);
}

Result<bool> read_flag(const GgufFile& file, std::string_view key, bool otherwise) {
  if (!file.has(key)) return otherwise;
  return file.get_bool(key);
}

}  // namespace

struct Tokenizer::Impl {
  TokenizerFamily family = TokenizerFamily::byte_level;
  Vocabulary vocabulary;
  MergeTable merges{0};                    // byte_level
  std::vector<std::uint32_t> score_ranks;  // scored: per token
  std::optional<TokenId> bos, eos, eot;
  std::vector<TokenId> stop_tokens;
  bool adds_bos = false;
  bool adds_space = false;
  Digest digest{};

  Status read_special_tokens(const GgufFile& file);
  Digest make_digest(const GgufFile& file) const;

  void encode_plain(std::string_view text, BpeMerger& merger, std::vector<TokenId>& out) const {
    if (family == TokenizerFamily::byte_level)
      encode_byte_level(text, merger, out);
    else
      encode_scored(text, merger, out);
  }
  void encode_byte_level(std::string_view text, BpeMerger& merger, std::vector<TokenId>& out) const;
  void encode_scored(std::string_view text, BpeMerger& merger, std::vector<TokenId>& out) const;
};

void Tokenizer::Impl::encode_byte_level(std::string_view text, BpeMerger& merger,
                                        std::vector<TokenId>& out) const {
  const auto find = [this](const BpeSymbol& left, const BpeSymbol& right) {
    return merges.find(left.token, right.token);
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view piece = text.substr(at, llama3_piece(text, at));
    at += piece.size();
    // Llama 3's rule: a piece that is a token is that token, whatever the merges would make of it.
    if (const auto whole = vocabulary.find(piece)) {
      out.push_back(*whole);
      continue;
    }
    merger.clear();
    for (std::uint32_t i = 0; i < piece.size(); ++i)
      merger.push(i, 1, vocabulary.byte_token(static_cast<std::uint8_t>(piece[i])));
    merger.merge(find, out);
  }
}

void Tokenizer::Impl::encode_scored(std::string_view text, BpeMerger& merger,
                                    std::vector<TokenId>& out) const {
  const auto find = [&](const BpeSymbol& left, const BpeSymbol& right) -> std::optional<Merge> {
    // Single bytes stand for characters the vocabulary does not have: they join nothing.
    if (vocabulary.kind(left.token) == TokenKind::byte || vocabulary.kind(right.token) == TokenKind::byte)
      return std::nullopt;
    const auto token = vocabulary.find(text.substr(left.begin, left.length + right.length));
    if (!token) return std::nullopt;
    return Merge{score_ranks[*token], *token};
  };
  merger.clear();
  for (std::uint32_t at = 0; at < text.size();) {
    const Utf8Sequence sequence = utf8_at(text, at);
    const std::uint32_t length = sequence.kind == Utf8Kind::whole ? sequence.length : 1;
    const auto token =
        sequence.kind == Utf8Kind::whole ? vocabulary.find(text.substr(at, length)) : std::nullopt;
    if (token) merger.push(at, length, *token);
    for (std::uint32_t i = 0; !token && i < length; ++i)
      merger.push(at + i, 1, vocabulary.byte_token(static_cast<std::uint8_t>(text[at + i])));
    at += length;
  }
  merger.merge(find, out);
}

Status Tokenizer::Impl::read_special_tokens(const GgufFile& file) {
  // Files made before a key existed still have the token, under its usual name.
  const struct {
    std::optional<TokenId>* id;
    std::string_view key;
    std::string_view name;
  } kinds[] = {{&bos, "tokenizer.ggml.bos_token_id", "<|begin_of_text|>"},
               {&eos, "tokenizer.ggml.eos_token_id", "<|end_of_text|>"},
               {&eot, "tokenizer.ggml.eot_token_id", "<|eot_id|>"}};
  for (const auto& kind : kinds) {
    auto id = read_token_id(file, kind.key, vocabulary.size());
    if (!id) return id.error();
    *kind.id = *id ? *id : vocabulary.find_control(kind.name);
  }
  const auto eom = read_token_id(file, "tokenizer.ggml.eom_token_id", vocabulary.size());
  if (!eom) return eom.error();
  // A chat model's file names the end of turn as its end of text, but a plain text of it still ends the other
  // way: so the tokens count by their names as well.
  for (const auto& id : {eos, eot, *eom, vocabulary.find_control("<|end_of_text|>"),
                         vocabulary.find_control("<|eot_id|>"), vocabulary.find_control("<|eom_id|>")})
    if (id) stop_tokens.push_back(*id);
  std::sort(stop_tokens.begin(), stop_tokens.end());
  stop_tokens.erase(std::unique(stop_tokens.begin(), stop_tokens.end()), stop_tokens.end());

  auto flag = read_flag(file, "tokenizer.ggml.add_bos_token", true);
  if (!flag) return flag.error();
  adds_bos = *flag && bos.has_value();
  flag = read_flag(file, "tokenizer.ggml.add_space_prefix", true);
  if (!flag) return flag.error();
  adds_space = *flag && family == TokenizerFamily::scored;
  return ok();
}

Digest Tokenizer::Impl::make_digest(const GgufFile& file) const {
  ByteWriter canonical;
  canonical.text("cortensor tokenizer 1");
  canonical.number(static_cast<std::uint8_t>(family));
  canonical.number(static_cast<std::uint8_t>(adds_bos));
  canonical.number(static_cast<std::uint8_t>(adds_space));
  for (const auto& id : {bos, eos, eot}) canonical.number(id.value_or(~TokenId{0}));
  canonical.number(static_cast<std::uint32_t>(stop_tokens.size()));
  for (const TokenId id : stop_tokens) canonical.number(id);
  canonical.number(vocabulary.size());
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    canonical.number(static_cast<std::uint8_t>(vocabulary.kind(id)));
    canonical.number(id < score_ranks.size() ? score_ranks[id] : std::uint32_t{0});
    canonical.text(vocabulary.bytes(id));
  }
  const auto lines = file.get_strings("tokenizer.ggml.merges");
  const std::size_t count = family == TokenizerFamily::byte_level && lines ? lines->size() : 0;
  canonical.number(static_cast<std::uint32_t>(count));
  for (std::size_t i = 0; i < count; ++i) canonical.text((*lines)[i]);
  return crypto::sha256(canonical.bytes());
}

Result<Tokenizer> Tokenizer::from_gguf(const GgufFile& file) {
  const auto model = file.get_string("tokenizer.ggml.model");
  if (!model) return model.error();
  auto impl = std::make_unique<Impl>();
  if (*model == "gpt2") {
    const auto pre = file.get_string("tokenizer.ggml.pre");
    if (!pre) return pre.error();
    if (*pre != "llama-bpe" && *pre != "llama3")
      return fail(ErrorKind::unsupported, "tokenizer: a pre-split other than llama-bpe");
    impl->family = TokenizerFamily::byte_level;
  } else if (*model == "llama") {
    impl->family = TokenizerFamily::scored;
  } else {
    return fail(ErrorKind::unsupported, "tokenizer: a model other than gpt2 and llama");
  }

  auto vocabulary = Vocabulary::from_gguf(file, impl->family);
  if (!vocabulary) return vocabulary.error();
  impl->vocabulary = std::move(*vocabulary);
  if (impl->family == TokenizerFamily::byte_level) {
    auto merges = read_merges(file, impl->vocabulary);
    if (!merges) return merges.error();
    impl->merges = std::move(*merges);
  } else {
    auto ranks = read_scores(file, impl->vocabulary.size());
    if (!ranks) return ranks.error();
    impl->score_ranks = std::move(*ranks);
  }
  if (auto status = impl->read_special_tokens(file); !status) return status.error();
  impl->digest = impl->make_digest(file);
  return Tokenizer(std::move(impl));
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<TokenId> tokens;
  if (text.empty()) return tokens;
  BpeMerger merger;
  std::string with_space;
  if (impl_->adds_space) {
    with_space.reserve(text.size() + 1);
    with_space.append(" ").append(text);
    text = with_space;
  }
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto special = impl_->vocabulary.special_at(text, at, options.special);
    if (!special) {
      ++at;
      continue;
    }
    impl_->encode_plain(text.substr(begin, at - begin), merger, tokens);
    tokens.push_back(*special);
    at += impl_->vocabulary.bytes(*special).size();
    begin = at;
  }
  impl_->encode_plain(text.substr(begin), merger, tokens);
  return tokens;
}

std::vector<TokenId> Tokenizer::encode_prompt(std::string_view text, EncodeOptions options) const {
  std::vector<TokenId> tokens = encode(text, options);
  if (adds_bos()) tokens.insert(tokens.begin(), *impl_->bos);
  return tokens;
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  if (id >= vocab_size()) return {};
  const TokenKind kind = impl_->vocabulary.kind(id);
  if (kind == TokenKind::control || kind == TokenKind::unknown) return {};
  return impl_->vocabulary.bytes(id);
}

std::string Tokenizer::decode(std::span<const TokenId> tokens) const {
  std::string text;
  for (const TokenId id : tokens) text += token_bytes(id);
  if (impl_->adds_space && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

std::uint32_t Tokenizer::vocab_size() const {
  return impl_->vocabulary.size();
}
bool Tokenizer::is_control(TokenId id) const {
  return id < vocab_size() && impl_->vocabulary.kind(id) == TokenKind::control;
}
std::optional<TokenId> Tokenizer::control_token(std::string_view name) const {
  return impl_->vocabulary.find_control(name);
}
std::optional<TokenId> Tokenizer::bos() const {
  return impl_->bos;
}
std::optional<TokenId> Tokenizer::eos() const {
  return impl_->eos;
}
std::optional<TokenId> Tokenizer::eot() const {
  return impl_->eot;
}
bool Tokenizer::adds_bos() const {
  return impl_->adds_bos;
}
bool Tokenizer::adds_space() const {
  return impl_->adds_space;
}
std::span<const TokenId> Tokenizer::stop_tokens() const {
  return impl_->stop_tokens;
}
const Digest& Tokenizer::digest() const {
  return impl_->digest;
}

}  // namespace cortensor::engine
