// How a node is divided among the routers that it works for. Each may have all that is free, but for what is
// kept for the others: who has asked for something lately may still claim up to an equal share. Lives on the
// executor.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/runtime/executor.h"
#include "protocol/attachment.h"

namespace cortensor::protocol {

// A piece of work in progress.
struct Occupied {
  const Attachment* router = nullptr;
  std::size_t model = 0;        // in the order of the Hello
  std::uint32_t positions = 0;  // of its cache
};

class Sharing {
 public:
  // The executor outlives the object.
  Sharing(Executor& executor, std::uint32_t slots);
  ~Sharing() { *alive_ = false; }

  // Before the router's first message. Borrowed.
  void add(Attachment& router) { routers_.push_back({&router, {}}); }
  // The router wants something, whether it gets it or not.
  void asked(const Attachment& router);
  // What the router is told while all of this goes on.
  Heartbeat load(const Attachment& router, const std::vector<Occupied>& all) const;
  // Whether the router may have one more slot.
  bool has_room(const Attachment& router, const std::vector<Occupied>& all) const;
  // Work has begun or ended: in a later turn the routers hear of it for which it makes a difference.
  void changed();

 private:
  struct Router {
    Attachment* attachment;
    Clock::time_point until;  // a share is kept for it
  };

  Executor& executor_;
  const std::uint32_t slots_;
  std::vector<Router> routers_;
  bool telling_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // false once destroyed
};

}  // namespace cortensor::protocol
