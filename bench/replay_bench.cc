// How much cheaper it is to replay an answer than to generate it: one engine, one random model, the same
// answer.
//
//   replay_bench [--model FILE.gguf] [--type q8_0] [--prompt 128] [--tokens 256] [--threads 2] [--isa avx2]
//   [--rounds 3]
//
// Without --model a model of about 60 million random parameters is made. Each round generates and replays;
// the medians count.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "bench.h"
#include "engine/engine.h"
#include "random_model.h"

namespace cortensor::bench {
namespace {

using engine::TensorType;

const std::map<std::string, TensorType> kTypes{{"q8_0", TensorType::q8_0}, {"q4_0", TensorType::q4_0},
                                               {"f16", TensorType::f16},   {"bf16", TensorType::bf16},
                                               {"f32", TensorType::f32},   {"s8", TensorType::s8},
                                               {"s4", TensorType::s4}};

struct Options {
  std::string model, type = "q8_0", isa;
  std::size_t prompt = 128, tokens = 256, threads = 2, rounds = 3;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::vector<Step> generate(engine::Engine& engine, const GenerationRequest& request) {
  std::vector<Step> steps;
  std::promise<bool> done;
  engine::Callbacks callbacks;
  callbacks.on_step = [&](std::size_t, const Step& step, const Logprobs*) { steps.push_back(step); };
  callbacks.on_finish = [&](FinishReason, const Digest&) { done.set_value(true); };
  callbacks.on_error = [&](const Error& error) {
    std::fprintf(stderr, "%s\n", error.message.c_str());
    done.set_value(false);
  };
  const auto handle = engine.submit({request, {}}, std::move(callbacks));
  if (!handle) {
    std::fprintf(stderr, "%s\n", handle.error().message.c_str());
    return {};
  }
  return done.get_future().get() ? steps : std::vector<Step>{};
}

int run(const Options& options, const std::string& path) {
  auto loaded = engine::Engine::load(path, {options.isa, options.threads, 1, 0, 256});
  if (!loaded) {
    std::fprintf(stderr, "%s\n", loaded.error().message.c_str());
    return 1;
  }
  engine::Engine& engine = **loaded;
  GenerationRequest request;
  request.max_tokens = static_cast<std::uint32_t>(options.tokens);
  request.sampling = {.temperature = 0.8f, .top_p = 0.95f, .seed = 1};
  for (std::size_t i = 0; i < options.prompt; ++i)
    request.prompt.push_back(static_cast<TokenId>(i * 7 % 256));

  std::vector<double> generation, replay;
  std::size_t tokens = 0;
  for (std::size_t round = 0; round < options.rounds; ++round) {
    std::vector<Step> steps;
    generation.push_back(seconds([&] { steps = generate(engine, request); }));
    if (steps.empty()) return 1;
    tokens = steps.size();
    bool valid = false;
    replay.push_back(seconds([&] {
      const auto result = engine.replay(request, steps, FinishReason::length);
      valid = result && result->valid();
    }));
    if (!valid) {
      std::fprintf(stderr, "the replay does not accept the answer\n");
      return 1;
    }
  }
  const double g = median(generation), r = median(replay);
  std::printf("%s %s, %s, %.1f M parameters, prompt %zu, answer %zu\n", engine.info().name.c_str(),
              engine.info().quantisation.c_str(), std::string(engine.isa_name()).c_str(),
              static_cast<double>(engine.info().parameters) * 1e-6, options.prompt, tokens);
  std::printf("generation %.3f s (%.1f tokens/s)  replay %.3f s  ratio %.3f\n", g,
              static_cast<double>(tokens) / g, r, r / g);
  return 0;
}

int main_of(int argc, char** argv) {
  Options options;
  read_flags(argc, argv,
             {flag("--model", "FILE", options.model),
              {"--type", "NAME",
               [&](const std::string& name) { return options.type = name, kTypes.contains(name); }},
              flag("--isa", "NAME", options.isa),
              flag("--prompt", options.prompt),
              flag("--tokens", options.tokens),
              flag("--threads", options.threads),
              flag("--rounds", options.rounds)});
  if (!options.model.empty()) return run(options, options.model);
  const auto path = std::filesystem::temp_directory_path() / "cortensor_replay_bench.gguf";
  const test::RandomModel spec{.type = kTypes.at(options.type),
                               .dim = 768,
                               .layers = 8,
                               .heads = 12,
                               .kv_heads = 4,
                               .head_dim = 64,
                               .ffn_dim = 2048,
                               .vocab_size = 8192,
                               .context_length = 4096};
  if (const Status written = test::write_random_model(spec, path.string()); !written) {
    std::fprintf(stderr, "%s\n", written.error().message.c_str());
    return 1;
  }
  const int code = run(options, path.string());
  std::filesystem::remove(path);
  return code;
}

}  // namespace
}  // namespace cortensor::bench

int main(int argc, char** argv) {
  return cortensor::bench::main_of(argc, argv);
}
