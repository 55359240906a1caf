// The latest receipts, in memory only: prompts and answers are in them, and those never reach a disk here.
#pragma once

#include <deque>
#include <string>
#include <unordered_map>

#include "base/ids.h"
#include "protocol/receipt.h"

namespace cortensor::router {

class ReceiptStore {
 public:
  // The oldest ones go when there are more receipts or transcript positions than this.
  ReceiptStore(std::size_t max_receipts, std::size_t max_positions)
      : max_receipts_(max_receipts), max_positions_(max_positions) {}

  void add(const AccountId& owner, protocol::Receipt receipt);
  // nullptr: unknown, gone, or another account's.
  const protocol::Receipt* find(const AccountId& owner, const std::string& id) const;

 private:
  struct Entry {
    AccountId owner;
    protocol::Receipt receipt;
  };
  static std::size_t positions(const protocol::Receipt& receipt) {
    return receipt.steps.size() + receipt.request.prompt.size();
  }

  std::size_t max_receipts_;
  std::size_t max_positions_;
  std::size_t held_positions_ = 0;
  std::deque<std::string> order_;
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace cortensor::router
