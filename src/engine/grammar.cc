#include "engine/grammar.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <utility>

#include "engine/grammar_syntax.h"

namespace cortensor::engine {
namespace {

using Kind = Grammar::Kind;
using Expr = GrammarExpr;

// Builds from behind: every part is told the node that follows it, so the last call of a rule is followed by
// its end itself.
class Builder {
 public:
  Result<Grammar> build(const GrammarSyntax& syntax) {
    grammar_.nodes.push_back({});  // kGrammarEnd
    std::vector<std::uint32_t> entries;
    for (const GrammarRule& rule : syntax.rules) entries.push_back(entry(rule.body, kGrammarEnd));
    if (full_)
      return fail(ErrorKind::invalid_input, "grammar: what is repeated comes to more than " +
                                                std::to_string(kMaxGrammarNodes) + " nodes or " +
                                                std::to_string(kMaxGrammarEdges) + " edges");
    for (Grammar::Node& node : grammar_.nodes)
      if (node.kind == Kind::call) node.first = entries[node.first];
    grammar_.root = entries[syntax.root];
    if (Status status = check(syntax, entries); !status) return std::move(status).error();
    return std::move(grammar_);
  }

 private:
  std::uint32_t add(Grammar::Node node) {
    full_ = full_ || grammar_.nodes.size() >= kMaxGrammarNodes;
    if (full_) return kGrammarEnd;
    grammar_.nodes.push_back(node);
    return static_cast<std::uint32_t>(grammar_.nodes.size() - 1);
  }
  std::uint32_t read(std::span<const Grammar::Edge> edges) {
    const auto first = static_cast<std::uint32_t>(grammar_.edges.size());
    full_ = full_ || first + edges.size() > kMaxGrammarEdges;
    if (!full_) grammar_.edges.insert(grammar_.edges.end(), edges.begin(), edges.end());
    return add({Kind::read, first, static_cast<std::uint32_t>(edges.size())});
  }
  void set_targets(std::uint32_t node, std::span<const std::uint32_t> targets) {
    full_ = full_ || grammar_.targets.size() + targets.size() > kMaxGrammarEdges;
    if (full_) return;
    grammar_.nodes[node] = {Kind::split, static_cast<std::uint32_t>(grammar_.targets.size()),
                            static_cast<std::uint32_t>(targets.size())};
    grammar_.targets.insert(grammar_.targets.end(), targets.begin(), targets.end());
  }
  std::uint32_t split(std::span<const std::uint32_t> targets) {
    const std::uint32_t node = add({Kind::split, 0, 0});
    set_targets(node, targets);
    return node;
  }

  std::uint32_t entry(const Expr& expr, std::uint32_t next) {
    if (full_) return kGrammarEnd;
    switch (expr.kind) {
      case Expr::Kind::text:
        for (auto at = expr.text.rbegin(); at != expr.text.rend() && !full_; ++at) {
          const auto byte = static_cast<std::uint8_t>(*at);
          next = read(std::array{Grammar::Edge{byte, byte, next}});
        }
        return next;
      case Expr::Kind::characters:
        return characters(expr.characters, next);
      case Expr::Kind::rule:
        return add({Kind::call, expr.rule, next});
      case Expr::Kind::sequence:
        for (auto part = expr.parts.rbegin(); part != expr.parts.rend(); ++part) next = entry(*part, next);
        return next;
      case Expr::Kind::choice: {
        if (expr.parts.size() == 1) return entry(expr.parts.front(), next);
        std::vector<std::uint32_t> targets;
        for (const Expr& part : expr.parts) targets.push_back(entry(part, next));
        return split(targets);
      }
      case Expr::Kind::repeat:
        return repeat(expr, next);
    }
    return next;
  }

  std::uint32_t repeat(const Expr& expr, std::uint32_t next) {
    const Expr& part = expr.parts.front();
    std::uint32_t begin = next;
    if (expr.most == Expr::kUnbounded) {
      begin = add({Kind::split, 0, 0});
      set_targets(begin, std::array{entry(part, begin), next});
    } else {
      for (std::uint32_t i = expr.least; i < expr.most && !full_; ++i)
        begin = split(std::array{entry(part, begin), next});
    }
    for (std::uint32_t i = 0; i < expr.least && !full_; ++i) begin = entry(part, begin);
    return begin;
  }

  // ---- code points to bytes of UTF-8 ----

  struct Encoded {
    std::array<std::uint8_t, 4> bytes{};
    int length = 0;
  };
  static Encoded encode(std::uint32_t code) {
    const auto tail = [code](int shift) { return static_cast<std::uint8_t>(0x80 | (code >> shift & 0x3f)); };
    if (code < 0x80) return {{static_cast<std::uint8_t>(code)}, 1};
    if (code < 0x800) return {{static_cast<std::uint8_t>(0xc0 | code >> 6), tail(0)}, 2};
    if (code < 0x10000) return {{static_cast<std::uint8_t>(0xe0 | code >> 12), tail(6), tail(0)}, 3};
    return {{static_cast<std::uint8_t>(0xf0 | code >> 18), tail(12), tail(6), tail(0)}, 4};
  }

  // The bytes of a set of characters as a tree; `child` is a tree's index, or the count of further bytes that
  // may be any.
  struct Branch {
    std::uint8_t low = 0, high = 0;
    bool is_tree = false;
    std::size_t child = 0;
  };
  using Tree = std::vector<Branch>;

  std::uint32_t characters(std::span<const CodePoints> ranges, std::uint32_t next) {
    trees_.assign(1, {});
    for (const CodePoints& range : ranges) {
      std::uint32_t low = range.low;
      for (const std::uint32_t last : {0x7fu, 0x7ffu, 0xffffu, 0x10ffffu}) {
        if (low > range.high || low > last) continue;
        const std::uint32_t high = std::min(range.high, last);
        insert(0, encode(low), encode(high), 0);
        low = high + 1;
      }
    }
    std::array<std::uint32_t, 4> any{next};  // [i]: i bytes of continuation, made when needed
    return node_of(0, any);
  }

  // The bytes behind `at` all the same.
  static Encoded with_rest(Encoded code, int at, std::uint8_t byte) {
    for (int k = at + 1; k < code.length; ++k) code.bytes[static_cast<std::size_t>(k)] = byte;
    return code;
  }

  // Codes of one encoded length whose first `at` bytes lead to the tree.
  void insert(std::size_t tree, Encoded low, Encoded high, int at) {
    const int rest = low.length - at - 1;
    auto& l = low.bytes;
    auto& h = high.bytes;
    const auto i = static_cast<std::size_t>(at);
    const auto rest_is = [at](const Encoded& code, std::uint8_t byte) {
      return code.bytes == with_rest(code, at, byte).bytes;
    };
    if (l[i] < h[i] && !rest_is(low, 0x80)) {
      insert(tree, low, with_rest(low, at, 0xbf), at);
      low = with_rest(low, at, 0x80);
      ++l[i];
    }
    if (l[i] < h[i] && !rest_is(high, 0xbf)) {
      Encoded before = with_rest(high, at, 0xbf);
      --before.bytes[i];
      insert(tree, low, before, at);
      low = with_rest(high, at, 0x80);
    }
    if (rest_is(low, 0x80) && rest_is(high, 0xbf)) {
      trees_[tree].push_back({l[i], h[i], false, static_cast<std::size_t>(rest)});
      return;
    }
    // One leading byte, some of what may follow it. Ranges rise, so only the last branch can have it already.
    if (trees_[tree].empty() || !trees_[tree].back().is_tree || trees_[tree].back().low != l[i]) {
      trees_.push_back({});
      trees_[tree].push_back({l[i], l[i], true, trees_.size() - 1});
    }
    insert(trees_[tree].back().child, low, high, at + 1);
  }

  std::uint32_t node_of(std::size_t tree, std::array<std::uint32_t, 4>& any) {
    std::vector<Grammar::Edge> edges;
    for (const Branch& branch : Tree(trees_[tree])) {
      if (full_) return kGrammarEnd;
      if (branch.is_tree) {
        edges.push_back({branch.low, branch.high, node_of(branch.child, any)});
        continue;
      }
      for (std::size_t i = 1; i <= branch.child; ++i)
        if (any[i] == kGrammarEnd) any[i] = read(std::array{Grammar::Edge{0x80, 0xbf, any[i - 1]}});
      edges.push_back({branch.low, branch.high, any[branch.child]});
    }
    return read(edges);
  }

  // ---- checks ----

  // The nodes from which a rule's end can be reached, with or without reading on the way.
  std::vector<bool> reach_end(bool by_reading) const {
    const auto count = grammar_.nodes.size();
    std::vector<std::vector<std::uint32_t>> before(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      const Grammar::Node& node = grammar_.nodes[i];
      if (node.kind == Kind::call) {
        before[node.first].push_back(i);
        before[node.count].push_back(i);
        continue;
      }
      if (node.kind == Kind::read && !by_reading) continue;
      for (std::uint32_t k = node.first; k < node.first + node.count; ++k)
        before[node.kind == Kind::split ? grammar_.targets[k] : grammar_.edges[k].to].push_back(i);
    }
    std::vector<bool> reaches(count, false);
    std::vector<std::uint32_t> fresh{kGrammarEnd};
    reaches[kGrammarEnd] = true;
    while (!fresh.empty()) {
      const std::uint32_t reached = fresh.back();
      fresh.pop_back();
      for (const std::uint32_t i : before[reached]) {
        const Grammar::Node& node = grammar_.nodes[i];
        if (reaches[i] || (node.kind == Kind::call && !(reaches[node.first] && reaches[node.count])))
          continue;
        reaches[i] = true;
        fresh.push_back(i);
      }
    }
    return reaches;
  }

  Status check(const GrammarSyntax& syntax, const std::vector<std::uint32_t>& entries) const {
    const std::vector<bool> ends = reach_end(true), empty = reach_end(false);
    const auto refuse = [&](std::size_t rule, const char* what) {
      return fail(ErrorKind::invalid_input, "grammar: line " + std::to_string(syntax.rules[rule].line) +
                                                ": rule '" + syntax.rules[rule].name + "' " + what);
    };
    for (std::size_t i = 0; i < entries.size(); ++i)
      if (!ends[entries[i]]) return refuse(i, "can never end");
    for (std::size_t i = 0; i < entries.size(); ++i)
      if (begins_with_itself(entries[i], empty)) return refuse(i, "begins with itself");
    return ok();
  }

  // Depth first over what is next without reading; a rule that is entered again while it is still being
  // looked at begins with itself. Marks are kept over all rules, so each node is looked at once.
  bool begins_with_itself(std::uint32_t rule, const std::vector<bool>& empty) const {
    struct Visit {
      std::uint32_t node, next;
    };
    marks_.resize(grammar_.nodes.size(), Mark::fresh);
    std::vector<Visit> path;
    const auto enter = [&](std::uint32_t node) {
      marks_[node] = Mark::open;
      path.push_back({node, 0});
    };
    if (marks_[rule] == Mark::fresh) enter(rule);
    while (!path.empty()) {
      Visit& visit = path.back();
      const Grammar::Node& node = grammar_.nodes[visit.node];
      const std::uint32_t i = visit.next++;
      std::uint32_t to = kGrammarEnd;
      bool more = false, calls = false;
      if (node.kind == Kind::split && i < node.count) {
        to = grammar_.targets[node.first + i];
        more = true;
      } else if (node.kind == Kind::call && i < (empty[node.first] ? 2u : 1u)) {
        to = i == 0 ? node.first : node.count;
        more = true;
        calls = i == 0;
      }
      if (!more) {
        marks_[visit.node] = Mark::done;
        path.pop_back();
      } else if (marks_[to] == Mark::fresh) {
        enter(to);
      } else if (calls && marks_[to] == Mark::open) {
        return true;
      }
    }
    return false;
  }

  enum class Mark : std::uint8_t { fresh, open, done };

  Grammar grammar_;
  bool full_ = false;
  std::vector<Tree> trees_;
  mutable std::vector<Mark> marks_;
};

}  // namespace

Result<Grammar> compile_grammar(std::string_view text) {
  if (text.size() > kMaxGrammarBytes)
    return fail(ErrorKind::invalid_input, "grammar: expected at most " + std::to_string(kMaxGrammarBytes) +
                                              " bytes, found " + std::to_string(text.size()));
  auto syntax = parse_grammar(text);
  if (!syntax) return std::move(syntax).error();
  return Builder().build(*syntax);
}

}  // namespace cortensor::engine
