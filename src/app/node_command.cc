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

// The links, with the token from wherever it was given.
Result<std::vector<protocol::JoinLink>> join_links(const NodeOptions& options) {
  std::vector<protocol::JoinLink> links;
  std::string token = options.join_token;
  if (!token.empty())
    if (auto status = protocol::check_join_token(token); !status)
      return std::move(status).error_context("CORTENSOR_JOIN_TOKEN");
  if (!options.join_token_file.empty()) {
    auto line = first_line(options.join_token_file);
    if (!line) return std::move(line).error_context("--join-token-file");
    token = std::move(*line);
    if (auto status = protocol::check_join_token(token); !status)
      return std::move(status).error_context("--join-token-file: " + options.join_token_file);
  }
  for (const std::string& text : options.join) {
    auto link = protocol::parse_join_link(text);
    if (!link) return std::move(link).error();
    for (const protocol::JoinLink& other : links)
      if (other.router == link->router)
        return fail(ErrorKind::invalid_input, "--join: router " + link->router.value + " is named twice");
    if (!token.empty()) link->token = token;
    links.push_back(std::move(*link));
  }
  return links;
}

// The node's standing with one router.
struct Membership {
  protocol::JoinLink link;
  std::string last_loss;
  std::optional<Error> refusal;  // for good
  std::optional<protocol::Attachment> attachment;
  std::unique_ptr<wire::NodeClient> client;
};

}  // namespace

std::uint64_t cache_share(std::size_t caches) {
  return std::max<std::uint64_t>(1, (usable_memory() >> 20) / 4 / caches);
}

Result<Exit> run_node(const NodeOptions& options) {
  log::set_role(std::string(to_string(options.role)));
  give_way();  // before there are threads, which inherit it
  auto links = join_links(options);
  if (!links) return links.error();
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
  hello.models = loaded->offers;
  hello.slots = options.slots;
  for (const std::string& account : options.only_for) hello.only_for.emplace_back(account);
  hello.isa = loaded->engines.front()->isa_name();

  miner::MinerCore miner(executor, *key, borrowed(loaded->engines), options.slots);
  validator::ValidatorCore validator(executor, *key, borrowed(loaded->engines), options.slots);
  const bool mines = options.role == protocol::Role::miner;
  protocol::NodeWork& work = mines ? static_cast<protocol::NodeWork&>(miner) : validator;

  Result<Exit> outcome = Exit::success;
  std::vector<std::unique_ptr<Membership>> routers;
  for (protocol::JoinLink& link : *links) {
    Membership& router = *routers.emplace_back(std::make_unique<Membership>());
    router.link = std::move(link);
    protocol::Attachment::Events events;
    events.attached = [&] {
      router.last_loss.clear();
      log::info("attached", {{"router", router.link.router.value}, {"node", key->node_id().value}});
    };
    events.lost = [&](const Error& why) {  // dialling goes on; the same reason is said once
      if (why.message != router.last_loss)
        log::warning("not_connected", {{"router", router.link.router.value}, {"reason", why.message}});
      router.last_loss = why.message;
    };
    events.refused_for_good = [&](const Error& why) {
      router.refusal = why;
      outcome = Error(why).context("the router refused this node");
      log::error("refused", {{"router", router.link.router.value}, {"reason", why.message}});
      if (std::all_of(routers.begin(), routers.end(),
                      [](const auto& one) { return one->refusal.has_value(); }))
        executor.stop();
    };
    hello.join_token = router.link.token;
    router.attachment.emplace(executor, hello, work, std::move(events));
    if (mines)
      miner.bind(*router.attachment);
    else
      validator.bind(*router.attachment);
  }
  for (const auto& router : routers) {
    auto client = wire::NodeClient::dial(router->link, *key, executor, *router->attachment);
    if (!client) return client.error();
    router->client = std::move(*client);
    router->attachment->bind(*router->client);
  }
  executor.on_signal([&](int) {
    outcome = Exit::success;
    executor.stop();
  });
  executor.run();

  for (const auto& router : routers) router->client->stop();
  log::info("stopped");
  return outcome;
}

}  // namespace cortensor::app
