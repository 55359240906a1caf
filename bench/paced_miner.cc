// A miner without a model, for load on a router: the real core and channel over an engine that makes up
// tokens at a fixed pace for each answer. Nothing a user meets, and nothing that a check would accept.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <unordered_set>

#include "arith/version.h"
#include "base/log.h"
#include "engine/transcript.h"
#include "http/asio_executor.h"
#include "miner/core/miner_core.h"
#include "protocol/attachment.h"
#include "protocol/join_link.h"
#include "verify/offer.h"
#include "wire/node_client.h"

namespace cortensor {
namespace {

class PacedEngine final : public engine::Engine {
 public:
  // `real` says which model it is; pause: between the tokens of an answer, the first one included.
  PacedEngine(engine::Engine& real, Executor& executor, Clock::duration pause)
      : real_(real), executor_(executor), pause_(pause) {}

  const engine::ModelInfo& info() const override { return real_.info(); }
  const engine::Tokenizer& tokenizer() const override { return real_.tokenizer(); }
  const engine::ChatTemplate& chat_template() const override { return real_.chat_template(); }
  std::string_view isa_name() const override { return "none"; }
  std::size_t threads() const override { return 1; }
  engine::EngineLoad load_now() const override { return {}; }

  Result<engine::SequenceHandle> submit(engine::Submission submission, engine::Callbacks callbacks) override {
    auto answer = std::make_shared<Answer>();
    answer->handle.id = ++last_;
    answer->left = submission.request.max_tokens;
    answer->callbacks = std::move(callbacks);
    running_.insert(answer->handle.id);
    step_later(std::move(answer));
    return engine::SequenceHandle{last_};
  }
  void cancel(engine::SequenceHandle handle) override { running_.erase(handle.id); }

  Result<engine::SequenceHandle> submit_replay(GenerationRequest, std::vector<Step>, FinishReason,
                                               std::function<void(Result<engine::ReplayResult>)>) override {
    return fail(ErrorKind::unsupported, "no model");
  }
  Result<engine::ReplayResult> replay(const GenerationRequest&, const std::vector<Step>&,
                                      FinishReason) override {
    return fail(ErrorKind::unsupported, "no model");
  }

 private:
  struct Answer {
    engine::SequenceHandle handle;
    std::uint32_t left = 0;
    std::size_t made = 0;
    engine::MerkleRoot transcript;
    engine::Callbacks callbacks;
  };

  void step_later(std::shared_ptr<Answer> answer) {
    executor_.at(executor_.now() + pause_, [this, answer = std::move(answer)] { step(answer); });
  }
  void step(const std::shared_ptr<Answer>& answer) {
    if (!running_.contains(answer->handle.id))
      return answer->callbacks.on_error(fail(ErrorKind::cancelled, "cancelled"));
    constexpr TokenId kFirst = 300, kTokens = 2000;  // ordinary ones of every vocabulary that is served here
    const Step step{kFirst + static_cast<TokenId>(answer->made % kTokens), {}};
    answer->transcript.add(step);
    answer->callbacks.on_step(answer->made++, step, nullptr);
    if (--answer->left > 0) return step_later(answer);
    running_.erase(answer->handle.id);
    answer->callbacks.on_finish(FinishReason::length, answer->transcript.root());
  }

  engine::Engine& real_;
  Executor& executor_;
  const Clock::duration pause_;
  std::uint64_t last_ = 0;
  std::unordered_set<std::uint64_t> running_;
};

int fail_with(const Error& error) {
  std::fprintf(stderr, "paced_miner: %s\n", error.message.c_str());
  return 1;
}

int run(const std::string& join, const std::string& key_path, const std::string& model, double pause_ms,
        std::uint32_t slots) {
  const auto link = protocol::parse_join_link(join);
  if (!link) return fail_with(link.error());
  const auto key = crypto::PrivateKey::load_or_create(key_path);
  if (!key) return fail_with(key.error());
  engine::EngineOptions options;
  options.threads = 1;
  options.max_sequences = 1;
  auto real = engine::Engine::load(model, options);
  if (!real) return fail_with(real.error());

  http::AsioExecutor executor;
  PacedEngine engine(
      **real, executor,
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(pause_ms)));
  protocol::Hello hello;
  hello.arithmetic_version = arith::kArithmeticVersion;
  hello.node = key->node_id();
  hello.join_token = link->token;
  const double pace = 1000 / std::max(pause_ms, 0.1);
  hello.models = {{verify::manifest_of((*real)->info(), "paced"), 10'000, pace}};
  for (std::uint32_t answers = 2; answers <= std::min(slots, 1024u); answers *= 2)
    hello.models[0].batch_tokens_per_second.push_back(std::min(10'000.0, pace * answers));
  hello.slots = slots;
  hello.isa = engine.isa_name();

  miner::MinerCore core(executor, *key, {&engine}, slots);
  protocol::Attachment::Events events;
  events.attached = [&] { log::info("attached", {{"node", key->node_id().value}}); };
  events.refused_for_good = [&](const Error&) { executor.stop(); };
  protocol::Attachment attachment(executor, std::move(hello), core, std::move(events));
  core.bind(attachment);
  auto client = wire::NodeClient::dial(*link, *key, executor, attachment);
  if (!client) return fail_with(client.error());
  attachment.bind(**client);
  executor.on_signal([&](int) { executor.stop(); });
  executor.run();
  return 0;
}

}  // namespace
}  // namespace cortensor

int main(int argc, char** argv) {
  std::string join, key, model, ignored;
  double pause = 50;
  std::uint32_t slots = 1024;
  CLI::App app{"a miner that makes up tokens"};
  app.add_option("--join", join)->required();
  app.add_option("--key", key)->required();
  app.add_option("--model", model)->required();
  app.add_option("--pause-ms", pause);
  app.add_option("--slots", slots);
  app.add_option("--threads", ignored);
  CLI11_PARSE(app, argc, argv);
  const auto equals = model.find('=');
  return cortensor::run(join, key, equals == std::string::npos ? model : model.substr(equals + 1), pause,
                        slots);
}
