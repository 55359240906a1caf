// Who waits for a node, and in what order. The line knows nothing of nodes: it offers, and is told what
// became of the offer. Every operation takes time logarithmic in the number that waits.
//
// The order among those that wait for the same model:
//
//   1. interactive work, then batch work;
//   2. who had a node and lost it;
//   3. tasks take turns: the first waiting choice of every task, then the second ones, and so on. When its
//      first is served, a task's next one becomes its first, due as if it had come at that moment;
//   4. who is due first: when its patience ends;
//   5. who came first.
//
// So nobody who waits for a turn is passed by others for ever: of the first ones, those that come later and
// are as patient are due later.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "base/generation.h"
#include "base/ids.h"
#include "base/runtime/executor.h"

namespace cortensor::router {

enum class QueueClass : std::uint8_t {
  interactive,  // somebody looks on
  batch,        // gets what interactive work leaves over
};
inline constexpr std::array kQueueClasses = {QueueClass::interactive, QueueClass::batch};
std::string_view to_string(QueueClass queue_class);

// A choice of a task.
struct Place {
  TaskId task;
  std::uint32_t choice = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

// Where somebody stands in the line.
struct Standing {
  std::size_t place = 0;         // 1: the next; 0: it does not wait
  Clock::duration eta{};         // until it is served
  std::size_t measurements = 0;  // that the eta comes from; 0: from what has passed without

  bool has_eta() const { return place == 0 || measurements > 0; }
};
// Slots that are taken together are often free together: fewer measurements may be of one such moment.
inline constexpr std::size_t kEnoughToRefuse = 10;

class WaitingLine {
 public:
  struct Wish {
    Place place;
    Digest model{};
    QueueClass queue_class = QueueClass::interactive;
    Clock::duration patience{};  // how long it is content to wait
  };
  enum class Answer {
    served,  // it leaves the line
    more,    // served, and wants as much again
    unfit,   // what there is does not suit it; it is asked again after wake()
    none,    // there is nothing for this model; nobody is asked before wake()
    gone,    // it does not wait any more
  };

  WaitingLine();
  ~WaitingLine();

  // In its turn, or before all others of its class. False: it waits already, and stays where it is.
  bool push(const Wish& wish, Clock::time_point now, bool first);
  void remove(const TaskId& task, Clock::time_point now);

  // Something may have become free.
  void wake();
  // Offers in order, until nobody is left to be asked. An offer may change the line.
  void serve(Clock::time_point now, const std::function<Answer(const Place&)>& offer);

  std::size_t size() const;
  std::size_t size(QueueClass queue_class) const;
  std::size_t size(const Digest& model, QueueClass queue_class) const;

  // Of the task's first waiting choice; none when it does not wait.
  std::optional<Standing> standing(const TaskId& task, Clock::time_point now) const;
  // Of one that would come now.
  Standing newcomer(const Wish& wish, Clock::time_point now) const;
  // Between two that are served, as far as is known.
  Clock::duration interval(const Digest& model, Clock::time_point now) const;

 private:
  struct Key;
  struct Waiting;
  struct Lane;
  struct ModelLine;

  Waiting* find(const Place& place);
  const ModelLine* find(const Digest& model) const;
  ModelLine& line_of(const Digest& model);
  void leave(Waiting& waiting, Clock::time_point now);

  std::map<Digest, std::unique_ptr<ModelLine>> models_;
  std::unordered_map<TaskId, std::list<Waiting>> tasks_;  // in their own order
  std::uint64_t arrivals_ = 0;
};

}  // namespace cortensor::router
