#include "router/core/waiting_line.h"

#include <algorithm>
#include <compare>
#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>

#include "router/core/pace.h"

namespace cortensor::router {

namespace {

// After so many whom it does not suit, what is free waits for the next wake(): a few large ones are passed by
// smaller ones, but not everybody is asked whenever anything happens.
constexpr std::size_t kMostRefusals = 64;

}  // namespace

struct WaitingLine::Key {
  std::uint32_t turn = 0;  // 0: it had a node and lost it
  Clock::time_point due;
  std::uint64_t arrival = 0;
  friend auto operator<=>(const Key&, const Key&) = default;
};

struct WaitingLine::Waiting {
  Wish wish;
  Key key;
  bool held = false;
};

// Those of one class that wait for one model.
struct WaitingLine::Lane {
  // A set that tells how many are before one.
  using Ranked = __gnu_pbds::tree<Key, Waiting*, std::less<Key>, __gnu_pbds::rb_tree_tag,
                                  __gnu_pbds::tree_order_statistics_node_update>;
  Ranked ready;
  Ranked held;  // offered in vain since the last wake()

  void insert(Waiting& waiting) { (waiting.held ? held : ready).insert({waiting.key, &waiting}); }
  void erase(const Waiting& waiting) { (waiting.held ? held : ready).erase(waiting.key); }
  std::size_t size() const { return ready.size() + held.size(); }
  std::size_t before(const Key& key) const { return ready.order_of_key(key) + held.order_of_key(key); }
};

struct WaitingLine::ModelLine {
  std::array<Lane, kQueueClasses.size()> lanes;
  Pace pace;
  std::size_t refusals = 0;  // of what was offered since the last wake()
  bool nothing_free = false;

  Lane& lane(QueueClass of) { return lanes[static_cast<std::size_t>(of)]; }
  const Lane& lane(QueueClass of) const { return lanes[static_cast<std::size_t>(of)]; }
  std::size_t size() const { return lane(QueueClass::interactive).size() + lane(QueueClass::batch).size(); }
  Standing at(QueueClass of, const Key& key, Clock::time_point now) const {
    const std::size_t preferred = of == QueueClass::batch ? lane(QueueClass::interactive).size() : 0;
    const std::size_t place = preferred + lane(of).before(key) + 1;
    return {place, static_cast<Clock::rep>(place) * pace.interval(now), pace.measurements()};
  }
};

std::string_view to_string(QueueClass queue_class) {
  return queue_class == QueueClass::interactive ? "interactive" : "batch";
}

WaitingLine::WaitingLine() = default;
WaitingLine::~WaitingLine() = default;

bool WaitingLine::push(const Wish& wish, Clock::time_point now, bool first) {
  if (find(wish.place) != nullptr) return false;
  std::list<Waiting>& own = tasks_[wish.place.task];
  const std::uint32_t turn = first ? 0 : own.empty() ? 1 : own.back().key.turn + 1;
  const auto at = own.insert(first ? own.begin() : own.end(),
                             Waiting{wish, Key{turn, now + wish.patience, ++arrivals_}, false});
  line_of(wish.model).lane(wish.queue_class).insert(*at);
  return true;
}

void WaitingLine::remove(const TaskId& task, Clock::time_point now) {
  for (auto own = tasks_.find(task); own != tasks_.end(); own = tasks_.find(task))
    leave(own->second.back(), now);
}

void WaitingLine::leave(Waiting& waiting, Clock::time_point now) {
  ModelLine& line = line_of(waiting.wish.model);
  Lane& lane = line.lane(waiting.wish.queue_class);
  lane.erase(waiting);
  const auto own = tasks_.find(waiting.wish.place.task);
  own->second.erase(std::find_if(own->second.begin(), own->second.end(),
                                 [&](const Waiting& one) { return &one == &waiting; }));
  if (own->second.empty()) {
    tasks_.erase(own);
  } else if (Waiting& next = own->second.front(); next.key.turn > 1) {
    lane.erase(next);
    next.key = {1, now + next.wish.patience, ++arrivals_};
    lane.insert(next);
  }
  if (line.size() == 0) line.pace.rest();
}

void WaitingLine::wake() {
  for (const auto& [model, line] : models_) {
    line->nothing_free = false;
    line->refusals = 0;
    for (Lane& lane : line->lanes) {
      for (const auto& [key, waiting] : lane.held) {
        waiting->held = false;
        lane.insert(*waiting);
      }
      lane.held.clear();
    }
  }
}

void WaitingLine::serve(Clock::time_point now, const std::function<Answer(const Place&)>& offer) {
  for (const QueueClass queue_class : kQueueClasses)
    for (const auto& [model, line] : models_) {
      Lane& lane = line->lane(queue_class);
      while (!line->nothing_free && !lane.ready.empty()) {
        const Place place = lane.ready.begin()->second->wish.place;
        const Answer answer = offer(place);
        Waiting* waiting = find(place);
        if (waiting == nullptr) continue;
        switch (answer) {
          case Answer::served:
            line->pace.move(now);
            [[fallthrough]];
          case Answer::gone:
            leave(*waiting, now);
            break;
          case Answer::more:
            break;
          case Answer::unfit:
            lane.erase(*waiting);
            waiting->held = true;
            lane.insert(*waiting);
            if (++line->refusals < kMostRefusals) {
              line->pace.stand(now);
              break;
            }
            [[fallthrough]];
          case Answer::none:
            line->nothing_free = true;
            line->pace.stand(now);
        }
      }
    }
}

std::size_t WaitingLine::size() const {
  return size(QueueClass::interactive) + size(QueueClass::batch);
}

std::size_t WaitingLine::size(QueueClass queue_class) const {
  std::size_t sum = 0;
  for (const auto& [model, line] : models_) sum += line->lane(queue_class).size();
  return sum;
}

std::size_t WaitingLine::size(const Digest& model, QueueClass queue_class) const {
  const ModelLine* line = find(model);
  return line == nullptr ? 0 : line->lane(queue_class).size();
}

std::optional<Standing> WaitingLine::standing(const TaskId& task, Clock::time_point now) const {
  const auto own = tasks_.find(task);
  if (own == tasks_.end()) return std::nullopt;
  const Waiting& waiting = own->second.front();
  return find(waiting.wish.model)->at(waiting.wish.queue_class, waiting.key, now);
}

Standing WaitingLine::newcomer(const Wish& wish, Clock::time_point now) const {
  const ModelLine* line = find(wish.model);
  if (line == nullptr) return {1, {}, 0};
  return line->at(wish.queue_class, {1, now + wish.patience, arrivals_ + 1}, now);
}

Clock::duration WaitingLine::interval(const Digest& model, Clock::time_point now) const {
  const ModelLine* line = find(model);
  return line == nullptr ? Clock::duration{} : line->pace.interval(now);
}

WaitingLine::Waiting* WaitingLine::find(const Place& place) {
  const auto own = tasks_.find(place.task);
  if (own == tasks_.end()) return nullptr;
  const auto at = std::find_if(own->second.begin(), own->second.end(),
                               [&](const Waiting& one) { return one.wish.place.choice == place.choice; });
  return at == own->second.end() ? nullptr : &*at;
}

const WaitingLine::ModelLine* WaitingLine::find(const Digest& model) const {
  const auto line = models_.find(model);
  return line == models_.end() ? nullptr : line->second.get();
}

WaitingLine::ModelLine& WaitingLine::line_of(const Digest& model) {
  std::unique_ptr<ModelLine>& line = models_[model];
  if (!line) line = std::make_unique<ModelLine>();
  return *line;
}

}  // namespace cortensor::router
