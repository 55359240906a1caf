// A whole network on this machine: a router, miners and a validator as separate processes, with an account
// and a key.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/process.h"
#include "base/ids.h"
#include "base/result.h"

namespace cortensor::app {

struct LocalNetworkOptions {
  std::string data = "local";  // keys, ledger, logs and receipts; kept between runs
  std::vector<std::string> models;
  int miners = 2;
  std::uint16_t api_port = 7600;   // the first free port from here on
  std::uint16_t node_port = 7601;  // likewise
  std::string credits = "100";     // of the account made on the first run
};

class LocalNetwork {
 public:
  // Returns when every node is attached. On an error nothing is left running.
  static Result<std::unique_ptr<LocalNetwork>> start(const LocalNetworkOptions& options);
  ~LocalNetwork();  // the router first, then the nodes
  LocalNetwork(const LocalNetwork&) = delete;
  LocalNetwork& operator=(const LocalNetwork&) = delete;

  const std::string& url() const { return url_; }  // http://127.0.0.1:PORT
  const std::string& api_key() const { return api_key_; }
  const NodeId& router() const { return router_; }
  const std::string& join_link() const { return join_link_; }  // without a token
  const std::string& miner_token() const { return miner_token_; }
  const std::string& log_folder() const { return log_folder_; }

  // The names of nodes that have ended by themselves since the last call. The network goes on without them.
  std::vector<std::string> take_lost_nodes();
  // An error once the router has ended by itself: nothing goes on without it.
  Status check_router();

 private:
  LocalNetwork() = default;
  Status prepare(const LocalNetworkOptions& options);
  Status launch(const LocalNetworkOptions& options);
  Status start_process(const std::string& name, const std::vector<std::string>& arguments,
                       const std::string& join_token = {});
  Status wait_until_ready(int miners);
  Status check(Process& process) const;  // a process that has ended is an error naming it and its log

  std::string url_, api_key_, join_link_, miner_token_, validator_token_, log_folder_;
  NodeId router_;
  std::uint16_t api_port_ = 0, node_port_ = 0;
  std::vector<Process> processes_;  // in the order started: the router first
};

}  // namespace cortensor::app
