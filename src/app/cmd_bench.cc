// cortensor bench: tokens a second, and how near they come to what the machine can do at most.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "app/command.h"
#include "app/number_option.h"
#include "app/progress.h"
#include "app/subcommands.h"
#include "base/runtime/machine.h"
#include "base/runtime/thread_pool.h"
#include "compute/cpu/ceilings.h"
#include "engine/engine.h"
#include "engine/made_model.h"
#include "engine/mixture.h"

namespace cortensor::app {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMostRead = 512u << 20;  // bytes of the plain read

struct Options {
  std::string model, shape, type = "q8_0", isa, write;
  std::size_t prompt = 512, tokens = 64, rounds = 3;
  std::vector<std::size_t> threads{0}, batches{1};
  bool json = false;
};

double seconds(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// What one token costs a model: the bytes that decoding reads, and the products of integers that a prompt's
// token needs; none of a model that multiplies other numbers too.
struct Cost {
  std::uint64_t weights = 0, bytes = 0, products = 0;
  std::size_t context = 0;
};

Result<Cost> cost_of(const std::string& path) {
  const auto file = engine::GgufFile::open(path);
  if (!file) return file.error();
  const bool tied = file->find_tensor("output.weight") == nullptr;
  Cost cost;
  cost.context = file->get_u32("llama.context_length").value_or(0);
  bool integers = true;
  for (const engine::TensorInfo& tensor : file->tensors()) {
    cost.weights += tensor.data.size();
    // Of the embedding a token reads one row, unless it is the output matrix too; only a prompt's last row is
    // multiplied with that.
    const bool embedding = tensor.name == "token_embd.weight";
    if (!embedding || tied) cost.bytes += tensor.data.size();
    if (!embedding && tensor.name != "output.weight" && tensor.rank > 1) {
      cost.products += tensor.cols() * tensor.rows();
      integers &= arith::is_quantised(tensor.type) || arith::is_segmented(tensor.type);
    }
  }
  if (!integers) cost.products = 0;
  return cost;
}

// The process's largest resident size since reset_peak(), in bytes.
void reset_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}
std::uint64_t peak() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

// Several answers of the same length at once, and when their tokens came.
class Run {
 public:
  // A prompt of `prompt` tokens each, no two answers alike; times from the call to the first token of all,
  // and from there to the end, with the tokens made meanwhile.
  struct Times {
    double first = 0, rest = 0;
    std::size_t rest_tokens = 0;
  };
  static Result<Times> go(engine::Engine& engine, std::size_t batch, std::size_t prompt, std::size_t tokens) {
    Run run(batch);
    const auto begin = Clock::now();
    for (std::size_t s = 0; s < batch; ++s) {
      GenerationRequest request;
      for (std::size_t i = 0; i < prompt; ++i)
        request.prompt.push_back(static_cast<TokenId>(
            (1000 * s + 31 * i + 7) % std::min<std::size_t>(engine.info().vocab_size, 100000)));
      request.max_tokens = static_cast<std::uint32_t>(tokens);
      request.sampling.temperature = 0;
      engine::Callbacks callbacks;
      callbacks.on_step = [&](std::size_t position, const Step&, const Logprobs*) { run.step(position); };
      callbacks.on_finish = [&](FinishReason, const Digest&) { run.end({}); };
      callbacks.on_error = [&](const Error& error) { run.end(error); };
      const auto handle = engine.submit({std::move(request), {}, {}}, std::move(callbacks));
      if (!handle) run.end(handle.error());
    }
    std::unique_lock lock(run.mutex_);
    run.over_.wait(lock, [&] { return run.running_ == 0; });
    if (run.error_) return *run.error_;
    return Times{seconds(run.all_began_ - begin), seconds(run.last_ - run.all_began_), run.after_};
  }

 private:
  explicit Run(std::size_t batch) : waiting_(batch), running_(batch) {}
  void step(std::size_t position) {
    const std::lock_guard lock(mutex_);
    last_ = Clock::now();
    if (waiting_ == 0) ++after_;
    if (position == 0 && --waiting_ == 0) all_began_ = last_;
  }
  void end(const std::optional<Error>& error) {
    const std::lock_guard lock(mutex_);
    if (error && !error_) error_ = error;
    if (--running_ == 0) over_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable over_;
  std::size_t waiting_, running_, after_ = 0;
  Clock::time_point all_began_, last_;
  std::optional<Error> error_;
};

// Bytes a second and products a second of as many threads as the engine has.
class Ceilings {
 public:
  Ceilings(std::size_t threads, std::string isa, std::uint64_t bytes)
      : pool_(threads), isa_(std::move(isa)), size_(std::min<std::uint64_t>(bytes, kMostRead)) {
    void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    ::madvise(memory, size_, MADV_HUGEPAGE);
    memory_ = static_cast<std::uint8_t*>(memory);
    pool_.run([&](std::size_t worker) {
      const Range part = partition(size_, 4096, worker, pool_.threads());
      std::fill(memory_ + part.begin, memory_ + part.end, std::uint8_t{1});
    });
  }
  ~Ceilings() {
    if (memory_ != nullptr) ::munmap(memory_, size_);
  }
  Ceilings(const Ceilings&) = delete;
  Ceilings& operator=(const Ceilings&) = delete;

  double read() {
    if (memory_ == nullptr) return 0;
    const auto begin = Clock::now();
    pool_.run([&](std::size_t worker) {
      const Range part = partition(size_, 4096, worker, pool_.threads());
      sink_ += compute::plain_read(isa_, memory_ + part.begin, part.end - part.begin);
    });
    return static_cast<double>(size_) / seconds(Clock::now() - begin);
  }
  double products() {
    std::atomic<std::uint64_t> made{0};
    const auto begin = Clock::now();
    pool_.run([&](std::size_t) { made += compute::plain_products(isa_, 4'000'000); });
    return static_cast<double>(made.load()) / seconds(Clock::now() - begin);
  }

 private:
  ThreadPool pool_;
  std::string isa_;
  std::uint64_t size_;
  std::uint8_t* memory_ = nullptr;
  std::atomic<std::uint64_t> sink_{0};
};

// "cpu avx2, 2 threads" runs the kernels "avx2".
std::string kernels_of(std::string_view backend) {
  backend = backend.substr(0, backend.find(','));
  return std::string(backend.substr(backend.rfind(' ') + 1));
}

struct Row {
  std::string test;  // "prompt 512", "generate 64 x 8"
  std::size_t batch = 0;
  double tokens_per_second = 0, share_of_read = 0, share_of_products = 0;
};

struct Measured {
  std::string isa;
  std::size_t threads = 0;
  double read = 0, products = 0, load_seconds = 0, peak_over_weights = 0;
  std::vector<Row> rows;
};

// Of the cache, for the longest of the tests.
std::size_t cache_positions(const Options& options) {
  const std::size_t largest = *std::max_element(options.batches.begin(), options.batches.end());
  const auto pages = [](std::size_t positions) { return (positions + 127) / 64 * 64; };
  return std::max({std::size_t{2048}, pages(options.prompt + 2), largest * pages(options.tokens + 8)});
}

Result<Measured> measure(const Options& options, const std::string& path, const Cost& cost,
                         std::size_t threads) {
  const std::size_t largest = *std::max_element(options.batches.begin(), options.batches.end());
  engine::EngineOptions engine_options;
  engine_options.isa = options.isa;
  engine_options.threads = threads;
  engine_options.max_sequences = largest;
  engine_options.kv_tokens = cache_positions(options);
  reset_peak();
  const auto begin = Clock::now();
  Result<std::unique_ptr<engine::Engine>> engine = fail(ErrorKind::internal, "not loaded");
  {
    ProgressBar bar("Loading");
    engine = engine::Engine::load(
        path, engine_options, [&](double fraction, std::string_view doing) { bar.update(fraction, doing); });
  }
  if (!engine) return engine.error();
  Measured out;
  out.load_seconds = seconds(Clock::now() - begin);
  out.isa = kernels_of((*engine)->isa_name());
  out.threads = (*engine)->threads();

  ProgressBar bar("Measuring");
  const double steps =
      static_cast<double>((options.prompt > 0) + options.batches.size() * (options.tokens > 0)) *
      static_cast<double>(options.rounds);
  double done = 0;
  const auto advance = [&] {
    bar.update(++done / std::max(1.0, steps), std::to_string(out.threads) + " threads");
  };
  // Once for the caches, the pages and the peak, before the ceilings need memory of their own.
  for (const auto& [prompt, tokens, batch] :
       {std::tuple(std::max<std::size_t>(1, options.prompt), std::size_t{1}, std::size_t{1}),
        std::tuple(std::size_t{1}, std::size_t{4}, largest)})
    if (const auto warm = Run::go(**engine, batch, prompt, tokens); !warm) return warm.error();
  out.peak_over_weights = static_cast<double>(peak()) / static_cast<double>(cost.weights);
  Ceilings ceilings(out.threads, out.isa, cost.bytes);

  std::vector<double> reads, products;
  if (options.prompt > 0) {
    std::vector<double> speeds;
    for (std::size_t r = 0; r < options.rounds; ++r, advance()) {
      products.push_back(cost.products > 0 ? ceilings.products() : 0);
      const auto times = Run::go(**engine, 1, options.prompt, 1);
      if (!times) return times.error();
      speeds.push_back(static_cast<double>(options.prompt) / times->first);
    }
    const double speed = median(speeds), most = median(products);
    out.products = most;
    out.rows.push_back({"prompt " + std::to_string(options.prompt), 1, speed, 0,
                        most > 0 ? speed * static_cast<double>(cost.products) / most : 0});
  }
  for (const std::size_t batch : options.batches) {
    if (options.tokens == 0) break;
    std::vector<double> speeds, shares;
    for (std::size_t r = 0; r < options.rounds; ++r, advance()) {
      const double before = ceilings.read();
      const auto times = Run::go(**engine, batch, 1, options.tokens + 1);
      if (!times) return times.error();
      reads.push_back(before);
      speeds.push_back(static_cast<double>(times->rest_tokens) / times->rest);
      // A step reads the weights once, whatever the batch.
      shares.push_back(speeds.back() / static_cast<double>(batch) * static_cast<double>(cost.bytes) / before);
    }
    out.rows.push_back({"generate " + std::to_string(options.tokens) + " x " + std::to_string(batch), batch,
                        median(speeds), median(shares), 0});
  }
  if (!reads.empty()) out.read = median(reads);
  return out;
}

nlohmann::json to_json(const Measured& m) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& row : m.rows)
    rows.push_back({{"test", row.test},
                    {"batch", row.batch},
                    {"tokens_per_second", row.tokens_per_second},
                    {"share_of_memory_read", row.share_of_read},
                    {"share_of_integer_products", row.share_of_products}});
  return {{"isa", m.isa},
          {"threads", m.threads},
          {"memory_read_bytes_per_second", m.read},
          {"integer_products_per_second", m.products},
          {"load_seconds", m.load_seconds},
          {"peak_memory_over_weights", m.peak_over_weights},
          {"rows", rows}};
}

void print(const Measured& m) {
  std::printf("\n%s, %zu thread%s: loaded in %.1f s, peak memory %.2f x the weights, plain read %.1f GB/s",
              m.isa.c_str(), m.threads, m.threads == 1 ? "" : "s", m.load_seconds, m.peak_over_weights,
              m.read / 1e9);
  if (m.products > 0) std::printf(", products %.0f G/s", m.products / 1e9);
  std::printf("\n");
  for (const Row& row : m.rows) {
    std::printf("  %-18s %10.2f tokens/s", row.test.c_str(), row.tokens_per_second);
    if (row.share_of_read > 0) std::printf("   %3.0f %% of a plain read", 100 * row.share_of_read);
    if (row.share_of_products > 0) std::printf("   %3.0f %% of the products", 100 * row.share_of_products);
    std::printf("\n");
  }
  std::fflush(stdout);
}

// A prompt is measured with one token after it, an answer with one before it and one after.
Status check_lengths(const Options& options, std::size_t context) {
  for (const auto& [option, tokens, others] : {std::tuple("--prompt", options.prompt, std::size_t{1}),
                                               std::tuple("--tokens", options.tokens, std::size_t{2})})
    if (tokens + others > context)
      return fail(ErrorKind::invalid_input, std::string(option) + ": the model's context of " +
                                                std::to_string(context) + " positions has no room for " +
                                                std::to_string(tokens) + " tokens");
  return ok();
}

// Weights in memory are there twice, as a file and as the engine has them, beside the cache and what the
// plain read goes over.
Status check_memory(const Options& options, const engine::ModelShape& shape) {
  const auto weights = engine::made_model_size(shape, options.type);
  if (!weights) return weights.error();
  const std::uint64_t position = std::uint64_t{4} * shape.layers * shape.kv_heads * shape.head_dim;
  const std::uint64_t needed = *weights * 21 / 10 + cache_positions(options) * position + kMostRead;
  const std::uint64_t free = available_memory();
  if (needed <= free) return ok();
  char text[200];
  std::snprintf(
      text, sizeof text,
      "bench: needs %.1f GB of memory, %.1f GB are free; measuring a file made with --write takes half",
      static_cast<double>(needed) / 1e9, static_cast<double>(free) / 1e9);
  return fail(ErrorKind::unavailable, text);
}

// The shape's weights, in memory or in the file that was asked for; the path to them.
Result<std::string> make_model(const Options& options, int memory) {
  const auto shapes = engine::known_shapes();
  const auto shape =
      std::find_if(shapes.begin(), shapes.end(), [&](const auto& s) { return s.name == options.shape; });
  ProgressBar bar("Making weights");
  const auto progress = [&](std::uint64_t done, std::uint64_t total) {
    bar.update(static_cast<double>(done) / static_cast<double>(total), options.shape);
  };
  if (options.write.empty()) {
    if (auto status = check_lengths(options, shape->context_length); !status) return status.error();
    if (auto status = check_memory(options, *shape); !status) return status.error();
    const auto status =
        engine::write_made_model(*shape, options.type, engine::OutputFile::onto(memory), progress);
    if (!status) return status.error();
    return "/proc/self/fd/" + std::to_string(memory);
  }
  auto file = engine::OutputFile::create(options.write);
  if (!file) return file.error();
  if (const auto status = engine::write_made_model(*shape, options.type, std::move(*file), progress); !status)
    return status.error();
  return options.write;
}

Result<Exit> bench(const Options& options) {
  if (options.model.empty() == options.shape.empty())
    return fail(ErrorKind::invalid_input, "bench: expected either --model or --shape");
  if (options.shape.empty() && !options.write.empty())
    return fail(ErrorKind::invalid_input, "--write: expected --shape, whose weights it keeps");
  std::string path = options.model;
  const int memory = options.shape.empty() ? -1 : ::memfd_create("weights", MFD_CLOEXEC);
  if (path.empty()) {
    auto made = make_model(options, memory);
    if (!made) return made.error();
    path = *made;
    if (!options.write.empty()) {
      std::printf("%s: written\n", path.c_str());
      return Exit::success;
    }
  }
  const auto cost = cost_of(path);
  if (!cost) return cost.error();
  if (const auto status = check_lengths(options, cost->context); !status) return status.error();
  const std::string name = options.shape.empty() ? options.model : options.shape + " " + options.type;
  nlohmann::json all{{"model", name}, {"weights_bytes", cost->weights}, {"runs", nlohmann::json::array()}};
  bool first = true;
  for (const std::size_t threads : options.threads) {
    const auto measured = measure(options, path, *cost, threads);
    if (!measured) return measured.error();
    if (std::exchange(first, false) && !options.json)
      std::printf("%s: %.1f MB of weights, %.1f MB read a token\n", name.c_str(),
                  static_cast<double>(cost->weights) / 1e6, static_cast<double>(cost->bytes) / 1e6);
    if (options.json)
      all["runs"].push_back(to_json(*measured));
    else
      print(*measured);
  }
  // A name need not be UTF-8.
  if (options.json)
    std::printf("%s\n", all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  if (memory >= 0) ::close(memory);
  return Exit::success;
}

}  // namespace

void add_bench(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      root.add_subcommand("bench", "Measure the engine's speed against the machine's ceilings");
  std::vector<std::string> shapes;
  for (const auto& shape : engine::known_shapes()) shapes.emplace_back(shape.name);
  command->add_option("-m,--model", options->model, "model file to measure");
  command->add_option("--shape", options->shape, "or this shape, with random weights made in memory")
      ->check(CLI::IsMember(shapes));
  command->add_option("--type", options->type, "of the shape's weights")
      ->capture_default_str()
      ->transform(CLI::IsMember(engine::mixture_names(), CLI::ignore_case));
  command->add_option("--write", options->write, "only write the shape's weights to this file");
  command->add_option("-p,--prompt", options->prompt, "tokens of the prompt; 0: no such test")
      ->capture_default_str()
      ->transform(whole(0, 1 << 17));
  command->add_option("-n,--tokens", options->tokens, "tokens to generate; 0: no such test")
      ->capture_default_str()
      ->transform(whole(0, 4096));
  command->add_option("-t,--threads", options->threads, "one run for each; 0 is one per processor")
      ->delimiter(',')
      ->capture_default_str()
      ->transform(thread_count());
  command->add_option("--batch", options->batches, "answers at a time, one test for each")
      ->delimiter(',')
      ->capture_default_str()
      ->transform(whole(1, 256));
  command->add_option("-r,--rounds", options->rounds, "of each test; the median counts")
      ->capture_default_str()
      ->transform(whole(1, 1000));
  command->add_option("--isa", options->isa, kIsaHelp);
  command->add_flag("--json", options->json, "the figures as one JSON object");
  examples(command,
           "  cortensor bench --shape llama-3.2-1b --type q4_0 -t 1,2 --batch 1,8\n"
           "  cortensor bench --model tales.q8_0.gguf -p 256 -n 128 --isa avx2 --json\n"
           "  cortensor bench --shape llama-3.2-1b --type q8_0 --write 1b.q8_0.gguf");
  run_with(command, [options] { return bench(*options); });
}

}  // namespace cortensor::app
