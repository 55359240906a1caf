#include "app/local_network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "app/node_command.h"
#include "app/secret_file.h"
#include "client/api_client.h"
#include "crypto/ed25519.h"
#include "ledger/open_ledger.h"
#include "protocol/join_link.h"

namespace cortensor::app {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr const char* kAccount = "local";
constexpr const char* kRouter = "router";

WallTime now() {
  return std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
}

bool is_free(std::uint16_t port) {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int reuse = 1;
  ::setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free = ::bind(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(probe);
  return free;
}

Result<std::uint16_t> free_port(std::uint16_t first, std::uint16_t taken) {
  for (std::uint16_t port = first; port >= first && port < first + 200; ++port)
    if (port != taken && is_free(port)) return port;
  return fail(ErrorKind::unavailable, "no free port from " + std::to_string(first) + " on");
}

// The key of an earlier run, or a new account with credits and its first key, which is then kept for the next
// run.
Result<std::string> open_account(ledger::Ledger& book, const fs::path& key_file, const std::string& credits) {
  if (const auto kept = first_line(key_file.string()); kept && book.find_by_api_key(*kept)) return *kept;
  const auto amount = parse_credits(credits);
  if (!amount) return amount.error();
  const auto account = book.find_account(kAccount);
  const auto key = account ? book.create_api_key(account->id, "local", now())
                           : book.open_account(kAccount, *amount, "local", now());
  if (!key) return key.error();
  if (Status written = write_secret(key_file.string(), key->secret); !written)
    return std::move(written).error_context("key file");
  return key->secret;
}

}  // namespace

Result<std::unique_ptr<LocalNetwork>> LocalNetwork::start(const LocalNetworkOptions& options) {
  std::unique_ptr<LocalNetwork> network(new LocalNetwork);
  if (Status status = network->prepare(options); !status) return status.error();
  if (Status status = network->launch(options); !status) return status.error();
  return network;
}

LocalNetwork::~LocalNetwork() {
  // The router first: answers in progress still need their nodes. Its patience with them is ten seconds.
  for (Process& process : processes_) process.end(milliseconds(15'000));
}

Status LocalNetwork::prepare(const LocalNetworkOptions& options) {
  const fs::path data(options.data);
  log_folder_ = (data / "log").string();
  std::error_code error;
  fs::create_directories(data / "router", error);
  if (!error) fs::create_directories(log_folder_, error);
  if (error) return fail(ErrorKind::unavailable, "data folder " + options.data + ": " + error.message());
  fs::permissions(data, fs::perms::owner_all, error);

  const auto key = crypto::PrivateKey::load_or_create(data / "router" / "router.key");
  if (!key) return key.error();
  const auto api_port = free_port(options.api_port, 0);
  if (!api_port) return api_port.error();
  const auto node_port = free_port(options.node_port, *api_port);
  if (!node_port) return node_port.error();
  api_port_ = *api_port;
  node_port_ = *node_port;
  url_ = "http://127.0.0.1:" + std::to_string(api_port_);

  auto book = ledger::open_ledger(data / "router" / "ledger.sqlite");
  if (!book) return book.error();
  auto api_key = open_account(**book, data / "api_key", options.credits);
  if (!api_key) return api_key.error();
  api_key_ = *api_key;

  router_ = key->node_id();
  join_link_ = to_string(protocol::JoinLink{"127.0.0.1", node_port_, router_, ""});
  for (const ledger::Role role : {ledger::Role::miner, ledger::Role::validator}) {
    auto token = (*book)->create_join_token(role, now() + std::chrono::hours(24), 16, now());
    if (!token) return token.error();
    (role == ledger::Role::miner ? miner_token_ : validator_token_) = std::move(*token);
  }
  return ok();
}

Status LocalNetwork::launch(const LocalNetworkOptions& options) {
  std::vector<std::string> models;
  for (const std::string& model : options.models) models.insert(models.end(), {"--model", model});
  const auto with_models = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), models.begin(), models.end());
    return arguments;
  };
  const std::size_t caches = (static_cast<std::size_t>(options.miners) + 1) * options.models.size();
  const std::string kv_memory = std::to_string(cache_share(caches));

  Status status = start_process(kRouter, with_models({"router", "--data", options.data + "/router", "--api",
                                                      "127.0.0.1:" + std::to_string(api_port_), "--nodes",
                                                      "127.0.0.1:" + std::to_string(node_port_)}));
  // One thread each: on a small machine the processes share the cores, and a stream needs one miner only.
  for (int i = 1; status && i <= options.miners; ++i) {
    const std::string name = "miner" + std::to_string(i);
    status =
        start_process(name,
                      with_models({"miner", "--join", join_link_, "--key", options.data + "/" + name + ".key",
                                   "--threads", "1", "--slots", "16", "--kv-memory", kv_memory}),
                      miner_token_);
  }
  if (status)
    status = start_process(
        "validator",
        with_models({"validator", "--join", join_link_, "--key", options.data + "/validator.key", "--threads",
                     "1", "--slots", "4", "--kv-memory", kv_memory}),
        validator_token_);
  if (!status) return status;
  return wait_until_ready(options.miners);
}

Status LocalNetwork::start_process(const std::string& name, const std::vector<std::string>& arguments,
                                   const std::string& join_token) {
  auto process = Process::start(name, arguments, log_folder_ + "/" + name + ".log",
                                {"CORTENSOR_JOIN_TOKEN=" + join_token});
  if (!process) return process.error();
  processes_.push_back(std::move(*process));
  return ok();
}

Status LocalNetwork::wait_until_ready(int miners) {
  client::ApiClient api({url_}, api_key_);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  for (;;) {
    for (Process& process : processes_)
      if (Status status = check(process); !status) return status;
    if (const auto nodes = api.attached_nodes(); nodes && nodes->miners >= miners && nodes->validators >= 1)
      return ok();
    if (std::chrono::steady_clock::now() > deadline)
      return fail(ErrorKind::timed_out,
                  "the local network is not ready after two minutes; see " + log_folder_);
    std::this_thread::sleep_for(milliseconds(50));
  }
}

std::vector<std::string> LocalNetwork::take_lost_nodes() {
  std::vector<std::string> lost;
  std::erase_if(processes_, [&](Process& process) {
    const bool ended = process.name() != kRouter && process.exit_code().has_value();
    if (ended) lost.push_back(process.name());
    return ended;
  });
  return lost;
}

Status LocalNetwork::check_router() {
  return check(processes_.front());
}

Status LocalNetwork::check(Process& process) const {
  const auto code = process.exit_code();
  if (!code) return ok();
  return fail(ErrorKind::unavailable, process.name() + " ended with exit code " + std::to_string(*code) +
                                          "; see " + log_folder_ + "/" + process.name() + ".log");
}

}  // namespace cortensor::app
