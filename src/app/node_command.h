// The common life of `cortensor miner` and `cortensor validator`: key, engines, connection, Ctrl-C.
#pragma once

#include <string>
#include <vector>

#include "app/command.h"
#include "protocol/message.h"

namespace cortensor::app {

struct NodeOptions {
  protocol::Role role = protocol::Role::miner;
  std::vector<std::string> join;      // join links, with or without their tokens, one for each router
  std::string join_token;             // instead of the links'
  std::string join_token_file;        // that holds the token; instead of both
  std::vector<std::string> models;    // PATH or ID=PATH
  std::string key_path;               // made on first use
  std::vector<std::string> only_for;  // accounts; none: everybody
  std::string isa;
  std::size_t threads = 0;
  std::uint32_t slots = 8;
  std::uint64_t kv_memory = 0;  // MiB for each model's key/value cache; 0: cache_share() of its models
};

// MiB for each of the key/value caches on this machine, which together get a quarter of its memory.
std::uint64_t cache_share(std::size_t caches);

Result<Exit> run_node(const NodeOptions& options);

}  // namespace cortensor::app
