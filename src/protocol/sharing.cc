#include "protocol/sharing.h"

#include <algorithm>

namespace cortensor::protocol {
namespace {

// A share is kept for a router that has asked for something within this time.
constexpr std::chrono::seconds kKept{10};

std::uint32_t slots_of(const Attachment* router, const std::vector<Occupied>& all) {
  return static_cast<std::uint32_t>(
      std::count_if(all.begin(), all.end(), [&](const Occupied& one) { return one.router == router; }));
}

}  // namespace

Sharing::Sharing(Executor& executor, std::uint32_t slots) : executor_(executor), slots_(slots) {}

void Sharing::asked(const Attachment& router) {
  for (Router& one : routers_)
    if (one.attachment == &router) one.until = executor_.now() + kKept;
}

Heartbeat Sharing::load(const Attachment& router, const std::vector<Occupied>& all) const {
  Heartbeat load;
  load.busy_slots = static_cast<std::uint32_t>(all.size());
  load.elsewhere_slots = load.busy_slots - slots_of(&router, all);
  for (const Occupied& one : all) {
    if (one.router == &router || one.positions == 0) continue;
    auto& positions = load.elsewhere_positions;
    positions.resize(std::max(positions.size(), one.model + 1));
    positions[one.model] += one.positions;
  }
  std::vector<const Attachment*> claimants;
  for (const Router& one : routers_)
    if (one.attachment != &router && one.attachment->attached() && executor_.now() < one.until)
      claimants.push_back(one.attachment);
  const auto share = static_cast<std::uint32_t>(slots_ / (claimants.size() + 1));
  for (const Attachment* one : claimants) load.kept_slots += share - std::min(share, slots_of(one, all));
  load.kept_slots = std::min(load.kept_slots, slots_ - std::min(slots_, load.busy_slots));
  return load;
}

bool Sharing::has_room(const Attachment& router, const std::vector<Occupied>& all) const {
  const Heartbeat now = load(router, all);
  return now.elsewhere_slots + now.kept_slots == 0 || now.busy_slots + now.kept_slots < slots_;
}

void Sharing::changed() {
  if (telling_ || routers_.size() < 2) return;
  telling_ = true;
  executor_.post([this, alive = alive_] {
    if (!*alive) return;
    telling_ = false;
    for (const Router& one : routers_) one.attachment->tell_load();
  });
}

}  // namespace cortensor::protocol
