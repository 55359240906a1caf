// How a router pays: settlements are handed over, and the answer comes when they are durable. A disk takes
// milliseconds for that, which no other request should wait for.
#pragma once

#include <functional>
#include <vector>

#include "ledger/ledger.h"

namespace cortensor::ledger {

class Settler {
 public:
  virtual ~Settler() = default;
  // `done` gets success when all are booked, else the first error; those without one are booked all the same.
  // It is called once: on the caller's executor, or before settle() returns.
  virtual void settle(std::vector<Settlement> settlements, WallTime now,
                      std::function<void(const Status&)> done) = 0;
};

// Books on the calling thread.
class DirectSettler final : public Settler {
 public:
  explicit DirectSettler(Ledger& ledger) : ledger_(ledger) {}
  void settle(std::vector<Settlement> settlements, WallTime now,
              std::function<void(const Status&)> done) override {
    Status first = ok();
    for (const Status& status : ledger_.settle_tasks(settlements, now))
      if (!status && first) first = status;
    done(first);
  }

 private:
  Ledger& ledger_;
};

}  // namespace cortensor::ledger
