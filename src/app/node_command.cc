#include "app/node_command.h"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>

#include "app/model_path.h"
#include "app/secret_file.h"
#include "arith/version.h"
#include "base/log.h"
#include "base/runtime/machine.h"
#include "crypto/ed25519.h"
#include "http/asio_executor.h"
#include "miner/core/miner_core.h"
#include "protocol/attachment.h"
#include "protocol/join_link.h"
#include "validator/core/validator_core.h"
#include "verify/offer.h"
#include "wire/node_client.h"

namespace cortensor::app {
namespace {

using Engines = std::vector<std::unique_ptr<engine::Engine>>;

struct Loaded {
  Engines engines;
  std::vector<protocol::ModelOffer> offers;
};

Result<Loaded> load_all(const NodeOptions& options) {
  auto named = parse_models(options.models);
  if (!named) return named.error();
  engine::EngineOptions engine_options;
  engine_options.isa = options.isa;
  engine_options.threads = options.threads;
  engine_options.max_sequences = options.slots;
  engine_options.kv_bytes = (options.kv_memory != 0 ? options.kv_memory : cache_share(named->size())) << 20;
  Loaded loaded;
  for (const NamedModel& model : *named) {
    auto engine = load_engine(model.path, engine_options);
    if (!engine) return std::move(engine).error_context("model " + model.id);
    auto offer = verify::measure_offer(**engine, model.id);
    if (!offer) return std::move(offer).error_context("measuring model " + model.id);
    log::info("model_ready",
              {{"model", model.id},
               {"isa", (*engine)->isa_name()},
               {"cache_tokens", (*engine)->load_now().free_kv_tokens},
               {"prefill_tokens_per_second", static_cast<int>(offer->prefill_tokens_per_second)},
               {"decode_tokens_per_second", static_cast<int>(offer->decode_tokens_per_second)}});
    loaded.engines.push_back(std::move(*engine));
    loaded.offers.push_back(std::move(*offer));
  }
  return loaded;
}

std::vector<engine::Engine*> borrowed(const Engines& engines) {
  std::vector<engine::Engine*> out;
  for (const auto& engine : engines) out.push_back(engine.get());
  return out;
}

// A model takes every processor it is given for as long as it works: whoever else is at this machine, a
// router among them, comes first. A niceness that the user has chosen stays.
void give_way() {
  constexpr int kNiceness = 5;
  if (::getpriority(PRIO_PROCESS, 0) == 0) ::setpriority(PRIO_PROCESS, 0, kNiceness);
}

// The link, with the token from wherever it was given.
Result<protocol::JoinLink> join_link(const NodeOptions& options) {
  auto link = protocol::parse_join_link(options.join);
  if (!link) return link;
  if (!options.join_token.empty()) {
    link->token = options.join_token;
    if (auto status = protocol::check_join_token(link->token); !status)
      return std::move(status).error_context("CORTENSOR_JOIN_TOKEN");
  }
  if (!options.join_token_file.empty()) {
    auto token = first_line(options.join_token_file);
    if (!token) return std::move(token).error_context("--join-token-file");
    link->token = std::move(*token);
    if (auto status = protocol::check_join_token(link->token); !status)
      return std::move(status).error_context("--join-token-file: " + options.join_token_file);
  }
  return link;
}

}  // namespace

std::uint64_t cache_share(std::size_t caches) {
  return std::max<std::uint64_t>(1, (usable_memory() >> 20) / 4 / caches);
}

Result<Exit> run_node(const NodeOptions& options) {
  log::set_role(std::string(to_string(options.role)));
  give_way();  // before there are threads, which inherit it
  const auto link = join_link(options);
  if (!link) return link.error();
  if (const auto folder = std::filesystem::path(options.key_path).parent_path(); !folder.empty()) {
    std::error_code ignored;  // load_or_create says what is wrong
    std::filesystem::create_directories(folder, ignored);
  }
  warn_if_exposed(options.key_path);
  const auto key = crypto::PrivateKey::load_or_create(options.key_path);
  if (!key) return key.error();

  http::AsioExecutor executor;  // outlives the engines, whose threads post to it
  auto loaded = load_all(options);
  if (!loaded) return loaded.error();

  protocol::Hello hello;
  hello.arithmetic_version = arith::kArithmeticVersion;
  hello.role = options.role;
  hello.node = key->node_id();
  hello.join_token = link->token;
  hello.models = loaded->offers;
  hello.slots = options.slots;
  hello.isa = loaded->engines.front()->isa_name();

  Result<Exit> outcome = Exit::success;
  std::string last_loss;
  protocol::Attachment::Events events;
  events.attached = [&] {
    last_loss.clear();
    log::info("attached", {{"router", link->router.value}, {"node", key->node_id().value}});
  };
  events.lost = [&](const Error& why) {
    if (why.message != last_loss) log::warning("not_connected", {{"reason", why.message}});
    last_loss = why.message;  // dialling goes on; the same reason is said once
  };
  events.refused_for_good = [&](const Error& why) {
    outcome = Error(why).context("the router refused this node");
    executor.stop();
  };

  miner::MinerCore miner(executor, *key, borrowed(loaded->engines));
  validator::ValidatorCore validator(executor, *key, borrowed(loaded->engines));
  protocol::NodeWork& work =
      options.role == protocol::Role::miner ? static_cast<protocol::NodeWork&>(miner) : validator;
  protocol::Attachment attachment(executor, std::move(hello), work, std::move(events));
  miner.bind(attachment);
  validator.bind(attachment);

  auto client = wire::NodeClient::dial(*link, *key, executor, attachment);
  if (!client) return client.error();
  attachment.bind(**client);
  executor.on_signal([&](int) { executor.stop(); });
  executor.run();

  (*client)->stop();
  log::info("stopped");
  return outcome;
}

}  // namespace cortensor::app
