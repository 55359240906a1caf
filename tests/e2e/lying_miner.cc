// A miner that cheats, for the end-to-end tests: the real miner core and channel over an engine that lies.
// Nothing a user meets: the shipped binary has no such mode.
//   --lie alter      gives another token at position 7 and goes on from it
//   --lie vanish     the same, and fails at position 12, before it has signed
//   --lie downgrade  computes with the first model file while claiming the digest of the second
//   --lie embed      turns the sign of an embedding's first element
//   --lie cut        ends the answer after five tokens with a stop that never was
#include <CLI/CLI.hpp>
#include <cstdio>

#include "arith/version.h"
#include "base/log.h"
#include "engine/tokenizer.h"
#include "engine/transcript.h"
#include "http/asio_executor.h"
#include "miner/core/miner_core.h"
#include "protocol/attachment.h"
#include "protocol/join_link.h"
#include "verify/offer.h"
#include "wire/node_client.h"

namespace cortensor {
namespace {

constexpr std::size_t kAlteredPosition = 7;
constexpr std::size_t kCutPosition = 5;
constexpr std::size_t kVanishPosition = 12;

// Forwards everything to an honest engine and falsifies what comes back.
class LyingEngine final : public engine::Engine {
 public:
  LyingEngine(engine::Engine& honest, engine::ModelInfo claimed, std::string lie)
      : honest_(honest), claimed_(std::move(claimed)), lie_(std::move(lie)) {}

  const engine::ModelInfo& info() const override { return claimed_; }
  const engine::Tokenizer& tokenizer() const override { return honest_.tokenizer(); }
  const engine::ChatTemplate& chat_template() const override { return honest_.chat_template(); }
  std::string_view isa_name() const override { return honest_.isa_name(); }
  std::size_t threads() const override { return honest_.threads(); }
  engine::EngineLoad load_now() const override { return honest_.load_now(); }
  void cancel(engine::SequenceHandle handle) override { honest_.cancel(handle); }

  Result<engine::SequenceHandle> submit(engine::Submission submission, engine::Callbacks callbacks) override {
    struct Told {
      engine::MerkleRoot transcript;
      bool done = false;
    };
    auto told = std::make_shared<Told>();
    auto altered = std::make_shared<std::vector<float>>();  // an embedding
    const TokenId stop = submission.request.stop_tokens.empty() ? 0 : submission.request.stop_tokens.front();
    const auto vocabulary = static_cast<TokenId>(claimed_.vocab_size);
    engine::Callbacks lying = callbacks;
    lying.on_step = [this, told, altered, callbacks, stop, vocabulary](std::size_t position, const Step& step,
                                                                       const Logprobs* logprob) {
      if (told->done) return;
      Step said = step;
      if (lie_ == "vanish" && position == kVanishPosition) {
        told->done = true;
        callbacks.on_error(fail(ErrorKind::internal, "out of order"));
        return;
      }
      if ((lie_ == "alter" || lie_ == "vanish") && position == kAlteredPosition)
        said.token = (step.token + 1) % (vocabulary / 2);
      if (lie_ == "cut" && position == kCutPosition) said.token = stop;
      if (lie_ == "embed" && !altered->empty()) said.digest = engine::position_digest(*altered, said.token);
      told->transcript.add(said);
      callbacks.on_step(position, said, logprob);
      if (lie_ == "cut" && position == kCutPosition) {
        told->done = true;
        callbacks.on_finish(FinishReason::stop, told->transcript.root());
      }
    };
    lying.on_embedding = [this, callbacks, altered](std::span<const float> elements) {
      altered->assign(elements.begin(), elements.end());
      if (lie_ == "embed") altered->front() = -altered->front();
      callbacks.on_embedding(*altered);
    };
    lying.on_finish = [told, callbacks](FinishReason reason, const Digest&) {
      if (!told->done) callbacks.on_finish(reason, told->transcript.root());
    };
    return honest_.submit(std::move(submission), std::move(lying));
  }

  Result<engine::SequenceHandle> submit_replay(
      GenerationRequest request, std::vector<Step> claimed, FinishReason finish,
      std::function<void(Result<engine::ReplayResult>)> on_result) override {
    return honest_.submit_replay(std::move(request), std::move(claimed), finish, std::move(on_result));
  }
  Result<engine::ReplayResult> replay(const GenerationRequest& request, const std::vector<Step>& claimed,
                                      FinishReason finish) override {
    return honest_.replay(request, claimed, finish);
  }

 private:
  engine::Engine& honest_;
  engine::ModelInfo claimed_;
  std::string lie_;
};

int fail_with(const Error& error) {
  std::fprintf(stderr, "lying_miner: %s\n", error.message.c_str());
  return 1;
}

int run(const std::string& join, const std::string& key_path, const std::vector<std::string>& models,
        const std::string& lie) {
  const auto link = protocol::parse_join_link(join);
  if (!link) return fail_with(link.error());
  const auto key = crypto::PrivateKey::load_or_create(key_path);
  if (!key) return fail_with(key.error());

  http::AsioExecutor executor;
  engine::EngineOptions options;
  options.threads = 1;
  auto honest = engine::Engine::load(models.front(), options);
  if (!honest) return fail_with(honest.error());
  auto claimed = engine::Engine::load(models.back(), options);
  if (!claimed) return fail_with(claimed.error());
  LyingEngine liar(**honest, (*claimed)->info(), lie);

  protocol::Hello hello;
  hello.arithmetic_version = arith::kArithmeticVersion;
  hello.node = key->node_id();
  hello.join_token = link->token;
  hello.models = {{verify::manifest_of(liar.info(), "claimed"), 1000, 1000}};
  hello.slots = 4;
  hello.isa = liar.isa_name();

  miner::MinerCore core(executor, *key, {&liar}, hello.slots);
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
  std::string join, key, lie, ignored;
  std::vector<std::string> models;
  CLI::App app{"a miner that cheats"};
  app.add_option("--join", join)->required();
  app.add_option("--key", key)->required();
  app.add_option("--model", models)->required();
  app.add_option("--lie", lie)
      ->required()
      ->check(CLI::IsMember({"alter", "vanish", "downgrade", "embed", "cut"}));
  app.add_option("--threads", ignored);
  CLI11_PARSE(app, argc, argv);
  return cortensor::run(join, key, models, lie);
}
