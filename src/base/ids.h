// Strong identifiers: swapping two of them does not compile.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace cortensor {

template <class Tag>
struct Id {
  std::string value;

  Id() = default;
  explicit Id(std::string text) : value(std::move(text)) {}
  bool empty() const { return value.empty(); }
  friend auto operator<=>(const Id&, const Id&) = default;
  friend bool operator==(const Id&, const Id&) = default;
};

using AccountId = Id<struct AccountTag>;  // "acct_…"
using SessionId = Id<struct SessionTag>;  // "sess_…"
using TaskId = Id<struct TaskTag>;        // "task_…": one request of a client
using AttemptId = Id<struct AttemptTag>;  // "att_…": one miner's run of a task's choice
using NodeId = Id<struct NodeTag>;        // 64 hex digits: the node's Ed25519 public key

}  // namespace cortensor

template <class Tag>
struct std::hash<cortensor::Id<Tag>> {
  std::size_t operator()(const cortensor::Id<Tag>& id) const noexcept {
    return std::hash<std::string>{}(id.value);
  }
};
