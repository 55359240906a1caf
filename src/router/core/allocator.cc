#include "router/core/allocator.h"

#include <algorithm>
#include <iterator>

namespace cortensor::router {
namespace {

// A candidate while there may be a thousand of them.
struct Option {
  const AttachedNode* node;
  double first_token, last_token, token, reliability, cost;
  std::size_t cached_tokens;
  bool on_probation;
};

// Costs are no better known than to this share, and to this time.
constexpr double kNearShare = 0.1, kNearSeconds = 0.002;
// One draw of so many is for miners on probation.
constexpr std::uint64_t kExplore = 16;

bool less_cost(const Option& a, const Option& b) {
  return a.cost != b.cost ? a.cost < b.cost : a.node->id < b.node->id;
}

Candidate candidate_of(const Option& option) {
  const AttachedNode& node = *option.node;
  return {node.link,   node.id,   option.first_token,   option.last_token,  option.reliability,
          option.cost, node.busy, option.cached_tokens, option.on_probation};
}

// A bijection of 64-bit numbers that leaves no pattern (the finaliser of SplitMix64).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Rendezvous hashing: every router finds the same home for a prefix, and few move when a miner comes or goes.
std::uint64_t bond(std::uint64_t prefix, const NodeId& miner) {
  std::uint64_t number = prefix;
  for (const char digit : miner.value) number = mix(number + static_cast<unsigned char>(digit));
  return number;
}

// Why a miner that has the model will never do; empty when it may.
std::string_view obstacle(const AttachedNode& node, const AttachedModel& model, const Work& work) {
  if (node.quarantined) return "quarantined";
  if (work.except != nullptr && work.except->contains(node.id))
    return "has tried, had no room, or is at work on it";
  if (!model.holds(cache_positions(work.prompt_tokens + work.answer_tokens)))
    return "too little cache memory";
  if (work.service != nullptr && !work.service->miners.empty() &&
      std::find(work.service->miners.begin(), work.service->miners.end(), node.id) ==
          work.service->miners.end())
    return "not among the session's miners";
  if (work.account != nullptr && !node.only_for.empty() &&
      std::find(node.only_for.begin(), node.only_for.end(), *work.account) == node.only_for.end())
    return "works for other accounts only";
  return {};
}

// Why it cannot begin now.
std::string_view hindrance(const AttachedNode& node, const AttachedModel& model, const Work& work) {
  if (!node.free()) return "no free slot";
  if (!model.holds(model.kv_reserved + model.kv_elsewhere +
                   cache_positions(work.prompt_tokens + work.answer_tokens)))
    return "no free cache memory";
  return {};
}

// Why it would not do what the session asks for.
std::string_view shortfall(const Option& option, const Work& work) {
  if (work.service == nullptr) return {};
  const ledger::ServiceLevel& asked = *work.service;
  if (option.reliability * ledger::kMillion < asked.min_reliability_ppm) return "less reliable than asked";
  if (asked.max_first_token_ms > 0 && 1000 * option.first_token > asked.max_first_token_ms)
    return "first token expected later than asked";
  if (option.token * asked.min_tokens_per_second > 1) return "expected slower than asked";
  return {};
}

Option expect(const AttachedNode& node, const AttachedModel& model, const Work& work, std::size_t pages,
              std::size_t tokens_ahead, std::size_t answers, Clock::time_point now) {
  const MinerRecord& record = *model.record;
  // A prompt's last position is always computed.
  const std::size_t held = std::min(pages * kPagePositions, work.prompt_tokens - 1);
  const auto cached = static_cast<std::size_t>(record.kept() * static_cast<double>(held));
  const double first = record.first_token(tokens_ahead + work.prompt_tokens - cached);
  const double token = record.token(answers + 1);
  const double last = first + static_cast<double>(work.answer_tokens) * token;
  const double reliability = record.reliability(now);
  const double cost = (first + last) / std::max(1e-6, reliability * reliability);
  return {&node, first, last, token, reliability, cost, cached, record.on_probation()};
}

}  // namespace

std::size_t Allocator::able(const Work& work) const {
  const Clock::time_point now = executor_.now();
  return static_cast<std::size_t>(
      std::count_if(nodes_.nodes().begin(), nodes_.nodes().end(), [&](const auto& entry) {
        const AttachedNode& node = entry.second;
        const AttachedModel* model = node.model(work.weights);
        return node.role == protocol::Role::miner && model != nullptr &&
               obstacle(node, *model, work).empty() &&
               shortfall(expect(node, *model, work, 0, 0, 0, now), work).empty();
      }));
}

AttachedNode* Allocator::choose(const Work& work, Decision& decision) {
  const auto held = prefixes_.held(work.prefix);
  const Clock::time_point now = executor_.now();
  std::vector<Option> all;
  for (const auto& [link, node] : nodes_.nodes()) {
    if (node.role != protocol::Role::miner) continue;
    const AttachedModel* model = node.model(work.weights);
    if (model == nullptr) continue;
    const auto own = held.find(link);
    std::string_view reason = obstacle(node, *model, work);
    if (reason.empty()) reason = hindrance(node, *model, work);
    if (reason.empty()) {
      all.push_back(expect(node, *model, work, own == held.end() ? 0 : own->second,
                           model->prompt_tokens_ahead, node.busy + node.elsewhere, now));
      reason = shortfall(all.back(), work);
      if (!reason.empty()) all.pop_back();
    }
    if (!reason.empty() && decision.excluded.size() < Decision::kListed)
      decision.excluded.push_back({node.id, reason});
  }
  decision.able = all.size();
  if (all.empty()) return nullptr;

  const double least = std::min_element(all.begin(), all.end(), less_cost)->cost;
  const double near = least * (1 + kNearShare) + kNearSeconds;
  const auto distant =
      std::partition(all.begin(), all.end(), [&](const Option& one) { return one.cost <= near; });
  const std::span<const Option> nearly(all.begin(), distant);
  const std::uint64_t chance = mix(work.draw);

  Option chosen = *std::min_element(nearly.begin(), nearly.end(), less_cost);
  decision.rule = "least expected time";
  const Option newcomer = *std::min_element(all.begin(), all.end(), [](const Option& a, const Option& b) {
    return a.on_probation != b.on_probation ? a.on_probation : less_cost(a, b);
  });
  if (chance % kExplore == 0 && newcomer.on_probation && !chosen.on_probation) {
    chosen = newcomer;
    decision.rule = "on probation, to be known";
  } else if (nearly.size() > 1 && !work.prefix.empty()) {
    const auto bond_of = [&](const Option& one) { return bond(work.prefix[0], one.node->id); };
    chosen = *std::max_element(nearly.begin(), nearly.end(),
                               [&](const Option& a, const Option& b) { return bond_of(a) < bond_of(b); });
    decision.rule = "home of the prompt's beginning among nearly equal ones";
  } else if (nearly.size() > 1) {
    const Option& one = nearly[chance / kExplore % nearly.size()];
    const Option& other = nearly[mix(chance) % nearly.size()];
    chosen = std::min(one, other, less_cost);
    decision.rule = "the better of two drawn among nearly equal ones";
  }

  const auto listed = all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), Decision::kListed));
  std::partial_sort(all.begin(), listed, all.end(), less_cost);
  std::transform(all.begin(), listed, std::back_inserter(decision.candidates), candidate_of);
  decision.chosen = chosen.node->id;
  decision.cached_tokens = chosen.cached_tokens;
  decision.first_token = chosen.first_token;
  return nodes_.find(chosen.node->link);
}

}  // namespace cortensor::router
