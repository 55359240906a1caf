#include "router/router_node.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "arith/version.h"
#include "base/log.h"
#include "crypto/ed25519.h"
#include "http/server.h"
#include "ledger/batch_thread.h"
#include "ledger/open_ledger.h"
#include "ledger/settlement_thread.h"
#include "router/api/api.h"
#include "router/api/batch_runner.h"
#include "router/core/router_core.h"
#include "router/model_loader.h"
#include "wire/node_server.h"

namespace cortensor::router {
namespace {

// As long as a session waits for a router that has died.
constexpr std::chrono::seconds kSessionLease{10};

// Of open files and connections: what nodes, ledger and log may need.
constexpr rlim_t kOtherFiles = 2048;
constexpr rlim_t kMostFiles = 65536;

// Clients that may be connected at a time, having asked the system for as many open files as it grants.
std::size_t connections_granted() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return http::ServerLimits().connections;
  const rlim_t wanted = std::min(files.rlim_max, kMostFiles);
  if (files.rlim_cur < wanted) {
    files.rlim_cur = wanted;
    ::setrlimit(RLIMIT_NOFILE, &files);
    ::getrlimit(RLIMIT_NOFILE, &files);
  }
  const rlim_t granted = std::min(files.rlim_cur, kMostFiles);
  return granted > 2 * kOtherFiles ? granted - kOtherFiles : granted / 2;
}

// The core needs the links before the node server, which needs the core, exists.
class LateLinks final : public protocol::RouterLinks {
 public:
  void bind(protocol::RouterLinks& links) { links_ = &links; }
  void send(protocol::LinkId link, protocol::RouterMessage message) override {
    if (links_ != nullptr) links_->send(link, std::move(message));
  }
  void close(protocol::LinkId link, const Error& why) override {
    if (links_ != nullptr) links_->close(link, why);
  }

 private:
  protocol::RouterLinks* links_ = nullptr;
};

Status make_folder(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  const bool made = fs::create_directories(folder, error);
  if (made && !error) fs::permissions(folder, fs::perms::owner_all, error);
  if (error) return fail(ErrorKind::unavailable, "data folder " + folder.string() + ": " + error.message());
  return ok();
}

// Reservations live in the memory of one router: a second one on the same books would promise the same money
// again and end sessions that are at work. The lock goes with the process, however it ends.
class FolderLock {
 public:
  static Result<FolderLock> take(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "router.lock";
    FolderLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (lock.descriptor_ < 0) return fail(ErrorKind::unavailable, "cannot open " + path.string());
    if (::flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0)
      return fail(ErrorKind::conflict, "data folder " + folder.string() +
                                           ": another router is running on it, or it cannot be locked");
    return lock;
  }
  FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

// The disk that fills up is the operator's business, not only that of the client whose request fails.
ledger::LedgerOptions logged(const char* user) {
  ledger::LedgerOptions options;
  options.health = [user](const Status& status) {
    if (status)
      log::info("ledger_works_again", {{"user", user}});
    else
      log::error("ledger_fails", {{"user", user}, {"error", status.error().message}});
  };
  return options;
}

Status set_prices(ledger::Ledger& ledger, const std::vector<RouterModel>& models) {
  for (const RouterModel& model : models) {
    const auto known = ledger.price(model.id);
    if (!known && known.error().kind != ErrorKind::not_found) return known.error();
    if (known && !model.price) continue;
    if (auto status = ledger.set_price(model.id, model.price.value_or(ledger::Price{})); !status)
      return status;
  }
  return ok();
}

}  // namespace

// In the order of dependence: the servers go first.
struct RouterNode::Parts {
  Parts(FolderLock folder, crypto::PrivateKey identity, std::unique_ptr<ledger::Ledger> book,
        std::unique_ptr<ledger::Ledger> book_for_settling, std::unique_ptr<ledger::BatchStore> batch_store,
        Catalogue models, CoreOptions options, http::AsioExecutor& executor)
      : lock(std::move(folder)),
        key(std::move(identity)),
        ledger(std::move(book)),
        settler(std::move(book_for_settling), executor),
        catalogue(std::move(models)),
        core(std::move(options), catalogue, key, executor, *ledger, settler, links),
        batches(std::move(batch_store), executor),
        runner(core, batches),
        api(core, &desk) {}

  FolderLock lock;
  crypto::PrivateKey key;
  std::unique_ptr<ledger::Ledger> ledger;
  ledger::SettlementThread settler;
  Catalogue catalogue;
  LateLinks links;
  RouterCore core;
  ledger::BatchThread batches;
  BatchRunner runner;
  BatchDesk desk{batches, runner};
  Api api;
  std::unique_ptr<wire::NodeServer> nodes;
  std::unique_ptr<http::Server> server;
};

Result<std::unique_ptr<RouterNode>> RouterNode::start(RouterOptions options, http::AsioExecutor& executor) {
  if (options.models.empty())
    return fail(ErrorKind::invalid_input, "models: expected at least one, found none");
  if (auto status = make_folder(options.data); !status) return status.error();
  auto lock = FolderLock::take(options.data);
  if (!lock) return std::move(lock).error();
  auto key = crypto::PrivateKey::load_or_create(options.data / "router.key");
  if (!key) return std::move(key).error();
  Catalogue catalogue;
  for (const RouterModel& model : options.models) {
    auto served = load_served_model(model.id, model.path);
    if (!served) return std::move(served).error();
    if (auto status = catalogue.add(std::move(*served)); !status) return status.error();
  }
  if (options.ledger.empty()) options.ledger = (options.data / "ledger.sqlite").string();
  auto ledger = ledger::open_ledger(options.ledger, logged("router"));
  if (!ledger) return std::move(ledger).error();
  auto ledger_for_settling = ledger::open_ledger(options.ledger, logged("settlement"));
  if (!ledger_for_settling) return std::move(ledger_for_settling).error();
  auto batches = ledger::open_batch_store(options.ledger, logged("batches"));
  if (!batches) return std::move(batches).error();
  if (ledger::is_url(options.ledger)) options.core.session_lease = kSessionLease;
  if (auto status = set_prices(**ledger, options.models); !status) return status.error();

  options.core.arithmetic_version = arith::kArithmeticVersion;
  auto parts = std::make_unique<Parts>(std::move(*lock), std::move(*key), std::move(*ledger),
                                       std::move(*ledger_for_settling), std::move(*batches),
                                       std::move(catalogue), std::move(options.core), executor);

  wire::NodeServerOptions node_options;
  node_options.address = options.node_address;
  node_options.port = options.node_port;
  auto nodes = wire::NodeServer::listen(node_options, parts->key, executor, parts->core);
  if (!nodes) return std::move(nodes).error();
  parts->nodes = std::move(*nodes);
  parts->links.bind(*parts->nodes);

  http::ServerOptions api_options;
  api_options.address = options.api_address;
  api_options.port = options.api_port;
  api_options.certificate_chain_file = options.tls_certificate;
  api_options.private_key_file = options.tls_key;
  api_options.limits.connections = connections_granted();
  api_options.uploads = [api = &parts->api](const http::Request& head) { return api->sink_for(head); };
  auto server = http::Server::listen(executor, api_options,
                                     [api = &parts->api](http::Request request, http::Responder responder) {
                                       api->handle(std::move(request), std::move(responder));
                                     });
  if (!server) return std::move(server).error();
  parts->server = std::move(*server);

  parts->core.start();
  parts->runner.start();
  log::info("router_started", {{"router", parts->key.node_id().value},
                               {"api_port", parts->server->port()},
                               {"node_port", parts->nodes->port()},
                               {"models", parts->catalogue.models().size()}});
  return std::unique_ptr<RouterNode>(new RouterNode(std::move(parts)));
}

RouterNode::RouterNode(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

RouterNode::~RouterNode() = default;

NodeId RouterNode::id() const {
  return parts_->key.node_id();
}
std::uint16_t RouterNode::api_port() const {
  return parts_->server->port();
}
std::uint16_t RouterNode::node_port() const {
  return parts_->nodes->port();
}

void RouterNode::stop(std::chrono::milliseconds grace, std::function<void()> done) {
  log::info("router_stopping", {{"tasks", parts_->core.tasks()}});
  parts_->core.drain();
  parts_->server->shutdown(grace, [this, done = std::move(done)] {
    parts_->core.abandon_all(
        fail(ErrorKind::unavailable, "the router is shutting down; nothing was charged"));
    parts_->nodes->shutdown();
    done();
  });
}

}  // namespace cortensor::router
