// A router in full: the core bound to its ledger, its node server and its HTTP API. Lives on the executor.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "http/asio_executor.h"
#include "ledger/pricing.h"
#include "router/core/options.h"

namespace cortensor::router {

struct RouterModel {
  std::string id;  // what clients ask for
  std::string path;
  std::optional<ledger::Price> price;  // none: what the ledger has, or else the default
};

struct RouterOptions {
  std::filesystem::path data;  // holds router.key; made on first use, for the owner alone
  std::string ledger;          // a file or a postgresql:// URL; empty: ledger.sqlite in `data`
  std::string api_address = "127.0.0.1";
  std::uint16_t api_port = 0;   // 0: any free one
  std::string tls_certificate;  // PEM files; both or neither
  std::string tls_key;
  std::string node_address = "127.0.0.1";
  std::uint16_t node_port = 0;  // 0: any free one
  std::vector<RouterModel> models;
  CoreOptions core;
};

class RouterNode {
 public:
  // Serves from the moment the executor runs; the executor outlives the node. Before the executor runs, or on
  // its thread. Fails when a file, a port or the ledger is not usable; nothing is left behind then.
  static Result<std::unique_ptr<RouterNode>> start(RouterOptions options, http::AsioExecutor& executor);

  // On the executor's thread, or while the executor does not run.
  ~RouterNode();
  RouterNode(const RouterNode&) = delete;
  RouterNode& operator=(const RouterNode&) = delete;

  NodeId id() const;
  std::uint16_t api_port() const;
  std::uint16_t node_port() const;

  // Takes no more work, lets answers in progress end until the grace is over, then lets the nodes go and
  // calls `done`. Once, on the executor's thread.
  void stop(std::chrono::milliseconds grace, std::function<void()> done);

 private:
  struct Parts;
  explicit RouterNode(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace cortensor::router
