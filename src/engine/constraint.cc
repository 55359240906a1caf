#include "engine/constraint.h"

#include <algorithm>
#include <utility>

namespace cortensor::engine {
namespace {

using State = GrammarMatcher::State;

// What a walk over the vocabulary may cost, in the matcher's steps.
constexpr std::size_t kMaxWork = std::size_t{1} << 25;
constexpr std::size_t kMaxMasks = 256;  // kept at a time

Result<GrammarMatcher> matcher_of(std::string_view text) {
  auto grammar = compile_grammar(text);
  if (!grammar) return std::move(grammar).error();
  GrammarMatcher matcher(std::make_shared<const Grammar>(std::move(*grammar)));
  if (matcher.start() == GrammarMatcher::kDead)
    return fail(ErrorKind::invalid_input, "grammar: begins in more than " +
                                              std::to_string(kMaxGrammarPositions) + " ways, or more than " +
                                              std::to_string(kMaxGrammarDepth) + " rules deep");
  return matcher;
}

}  // namespace

Status check_grammar(std::string_view text) {
  if (auto matcher = matcher_of(text); !matcher) return std::move(matcher).error();
  return ok();
}

Result<Constraint> Constraint::create(const GenerationRequest& request, const Tokenizer& tokenizer,
                                      std::shared_ptr<const TokenTrie> trie) {
  auto matcher = matcher_of(request.grammar);
  if (!matcher) return std::move(matcher).error();
  return Constraint(std::move(*matcher), request.stop_tokens, tokenizer, std::move(trie));
}

Constraint::Constraint(GrammarMatcher matcher, std::vector<TokenId> stop_tokens, const Tokenizer& tokenizer,
                       std::shared_ptr<const TokenTrie> trie)
    : matcher_(std::move(matcher)),
      state_(matcher_.start()),
      stop_tokens_(std::move(stop_tokens)),
      tokenizer_(&tokenizer),
      trie_(std::move(trie)) {}

void Constraint::feed(TokenId token) {
  ++fed_;
  const std::string_view bytes = tokenizer_->token_bytes(token);
  const bool stops = std::find(stop_tokens_.begin(), stop_tokens_.end(), token) != stop_tokens_.end();
  if (bytes.empty() || stops) state_ = GrammarMatcher::kDead;
  for (const char byte : bytes) state_ = matcher_.next(state_, static_cast<std::uint8_t>(byte));
}

// States met on the way are forgotten when there are too many; nothing that is told depends on it.
void Constraint::make_room(std::vector<State>& path) {
  if (!matcher_.crowded()) return;
  masks_.clear();
  path.push_back(state_);
  matcher_.forget_all_but(path);
  state_ = path.back();
  path.pop_back();
}

Result<std::shared_ptr<const TokenMask>> Constraint::allowed() {
  if (state_ == GrammarMatcher::kDead) return std::make_shared<const TokenMask>(trie_->vocab_size);
  std::vector<State> path{state_};  // the states before each open node's children
  make_room(path);
  if (const auto known = masks_.find(state_); known != masks_.end()) return known->second;
  auto mask = std::make_shared<TokenMask>(trie_->vocab_size);
  std::vector<std::uint32_t> ends{static_cast<std::uint32_t>(trie_->nodes.size())};  // of those nodes
  std::size_t work = 0;
  for (std::uint32_t i = 0; i + 1 < trie_->nodes.size();) {
    while (i >= ends.back()) ends.pop_back(), path.pop_back();
    const TokenTrie::Node& node = trie_->nodes[i];
    const State reached = matcher_.next(path.back(), node.byte);
    work += matcher_.cost(path.back(), node.byte);
    if (work > kMaxWork)
      return fail(ErrorKind::unsupported, "grammar: too many ways to go on at this place of the answer");
    if (reached == GrammarMatcher::kDead) {
      i = node.end;
      continue;
    }
    for (std::uint32_t k = node.first; k < trie_->nodes[i + 1].first; ++k) mask->add(trie_->ids[k]);
    path.push_back(reached);
    ends.push_back(node.end);
    ++i;
    make_room(path);
  }
  for (const TokenId token : stop_tokens_)
    if (token < trie_->vocab_size) {
      mask->remove(token);
      if (matcher_.complete(state_)) mask->add(token);
    }
  if (masks_.size() >= kMaxMasks) masks_.clear();
  masks_.emplace(state_, mask);
  return std::shared_ptr<const TokenMask>(std::move(mask));
}

}  // namespace cortensor::engine
