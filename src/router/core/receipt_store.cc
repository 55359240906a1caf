#include "router/core/receipt_store.h"

namespace cortensor::router {

void ReceiptStore::add(const AccountId& owner, protocol::Receipt receipt) {
  held_positions_ += positions(receipt);
  order_.push_back(receipt.id);
  std::string id = receipt.id;
  entries_.emplace(std::move(id), Entry{owner, std::move(receipt)});
  while (order_.size() > 1 && (order_.size() > max_receipts_ || held_positions_ > max_positions_)) {
    const auto oldest = entries_.find(order_.front());
    held_positions_ -= positions(oldest->second.receipt);
    entries_.erase(oldest);
    order_.pop_front();
  }
}

const protocol::Receipt* ReceiptStore::find(const AccountId& owner, const std::string& id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() || found->second.owner != owner ? nullptr : &found->second.receipt;
}

}  // namespace cortensor::router
