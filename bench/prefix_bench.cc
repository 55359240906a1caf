// Time to the first token of prompts that begin alike, with and without the pages of those before them: one
// engine, the two ways in turn, medians.
//
//   prefix_bench MODEL.gguf [shared=500] [own=20] [threads=2] [rounds=15]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <string>
#include <vector>

#include "bench.h"
#include "engine/engine.h"

namespace cortensor::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct First {
  double seconds = 0;
  std::size_t cached_tokens = 0;
  Step step;
};

Result<First> first_token(engine::Engine& engine, engine::Submission submission) {
  First first;
  std::promise<Status> done;
  engine::Callbacks callbacks;
  callbacks.on_start = [&](std::size_t cached_tokens) { first.cached_tokens = cached_tokens; };
  callbacks.on_step = [&](std::size_t, const Step& step, const Logprobs*) { first.step = step; };
  callbacks.on_finish = [&](FinishReason, const Digest&) { done.set_value(ok()); };
  callbacks.on_error = [&](const Error& error) { done.set_value(error); };
  const auto begin = Clock::now();
  if (auto handle = engine.submit(std::move(submission), std::move(callbacks)); !handle)
    return handle.error();
  if (Status status = done.get_future().get(); !status) return status.error();
  first.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return first;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Status run(const std::string& path, std::size_t shared, std::size_t own, std::size_t threads,
           std::size_t rounds) {
  auto engine = engine::Engine::load(path, {"", threads, 1, 0, 256});
  if (!engine) return engine.error();
  engine::Submission submission;
  submission.request.max_tokens = 1;
  for (std::size_t i = 0; i < shared + own; ++i)
    submission.request.prompt.push_back(static_cast<TokenId>(i * 7 % 256));

  std::vector<double> computed, reused;
  std::size_t cached_tokens = 0;
  for (std::size_t round = 0; round <= rounds; ++round) {  // the first one leaves the pages
    for (std::size_t i = shared; i < shared + own; ++i)
      submission.request.prompt[i] = static_cast<TokenId>((i + round * 31) % 256);
    submission.cache_salt.reset();
    const auto plain = first_token(**engine, submission);
    if (!plain) return plain.error();
    submission.cache_salt.emplace();
    const auto with_pages = first_token(**engine, submission);
    if (!with_pages) return with_pages.error();
    if (plain->step != with_pages->step) return fail(ErrorKind::internal, "the two answers differ");
    if (round == 0) continue;
    computed.push_back(plain->seconds);
    reused.push_back(with_pages->seconds);
    cached_tokens = with_pages->cached_tokens;
  }
  const double slow = median(computed), fast = median(reused);
  std::printf("%s, %s, prompt %zu + %zu, %zu in the cache\n", (*engine)->info().name.c_str(),
              std::string((*engine)->isa_name()).c_str(), shared, own, cached_tokens);
  std::printf("first token after %.2f ms, with the cache %.2f ms: %.1f times sooner\n", slow * 1e3,
              fast * 1e3, slow / fast);
  return ok();
}

}  // namespace
}  // namespace cortensor::bench

int main(int argc, char** argv) {
  std::size_t numbers[] = {500, 20, 2, 15};
  bool good = argc >= 2 && argc <= 6;
  for (int i = 2; good && i < argc; ++i) good = cortensor::bench::read_number(argv[i], numbers[i - 2]);
  if (!good) {
    std::fprintf(stderr, "usage: %s MODEL [SHARED [OWN [THREADS [ROUNDS]]]]\n", argv[0]);
    return 2;
  }
  const cortensor::Status status =
      cortensor::bench::run(argv[1], numbers[0], numbers[1], numbers[2], numbers[3]);
  if (!status) std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return status ? 0 : 1;
}
