// Decisions a second of the allocator among many miners, prompts with shared beginnings, on one core; and
// what a candidate costs among few and among many of them, which should be the same.
//
//   allocation_bench [--miners N,…] [--prompt TOKENS] [--requests N]
#include <cstdio>
#include <vector>

#include "bench.h"
#include "router/core/allocator.h"

namespace cortensor::bench {
namespace {

class RealClock final : public Executor {
 public:
  void post(std::function<void()>) override {}
  void at(Clock::time_point, std::function<void()>) override {}
  Clock::time_point now() const override { return Clock::now(); }
  WallTime wall_now() const override { return {}; }
};

constexpr Digest kModel{1};
constexpr std::size_t kAccounts = 64;

// Seconds a decision, the prompt's keys and the bookkeeping of its miner included.
double measure(std::size_t miners, std::size_t prompt_tokens, std::size_t requests) {
  RealClock clock;
  router::NodeTable nodes(clock);
  router::Allocator allocator(nodes, clock);
  for (std::size_t i = 0; i < miners; ++i) {
    protocol::ModelOffer offer;
    offer.decode_tokens_per_second = static_cast<double>(20 + i * 7 % 50);
    offer.prefill_tokens_per_second = 10 * offer.decode_tokens_per_second;
    offer.batch_tokens_per_second = {1.8 * offer.decode_tokens_per_second,
                                     3 * offer.decode_tokens_per_second};
    router::AttachedNode node;
    node.link = i + 1;
    node.id = NodeId(std::string(60, 'a') + std::to_string(1000 + i));
    node.slots = 8;
    node.models.emplace_back().weights = kModel;
    nodes.add(std::move(node), {&offer, 1});
  }
  std::vector<router::Engagement> running(2 * miners);  // of each miner's slots, a quarter
  const double begin = now();
  for (std::size_t i = 0; i < requests; ++i) {
    std::vector<TokenId> prompt(prompt_tokens, static_cast<TokenId>(i % 7));
    const auto keys = router::prefix_keys({static_cast<std::uint8_t>(i % kAccounts)}, prompt);
    router::Work work;
    work.weights = kModel;
    work.prompt_tokens = prompt.size();
    work.answer_tokens = 200;
    work.prefix = keys;
    work.draw = i;
    router::Engagement& place = running[i % running.size()];
    if (place.link != 0) nodes.release(place);
    router::Decision decision;
    router::AttachedNode* miner = allocator.choose(work, decision);
    if (miner == nullptr) std::abort();
    place = nodes.engage(*miner, kModel, prompt.size(), 0, prompt.size() + 200);
    nodes.succeeded(place, 0);
    allocator.prefixes().note(miner->link, keys);
  }
  return (now() - begin) / static_cast<double>(requests);
}

int run(int count, char** values) {
  std::vector<std::size_t> miners = {10, 100, 1000};
  std::size_t prompt = 512, requests = 4000;
  read_flags(count, values,
             {flag("--miners", miners), flag("--prompt", prompt), flag("--requests", requests)});
  double least = 0;
  for (const std::size_t number : miners) {
    const double seconds = measure(number, prompt, requests), each = seconds / static_cast<double>(number);
    if (least == 0) least = each;
    std::printf("%5zu miners: %8.0f decisions/s, %7.1f us each, %6.0f ns a candidate (%.2f of the first)\n",
                number, 1 / seconds, 1e6 * seconds, 1e9 * each, each / least);
  }
  return 0;
}

}  // namespace
}  // namespace cortensor::bench

int main(int count, char** values) {
  return cortensor::bench::run(count, values);
}
