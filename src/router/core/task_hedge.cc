// Hedging: an answer whose first token is late is begun by a second miner as well. Whoever has the first
// token first goes on; what the other makes until it is stopped has to be the same, which checks both for
// nothing.
#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "router/core/task_table.h"

namespace cortensor::router {
namespace {

// Late is what takes so many times longer than was expected, and at least hedge_least.
constexpr double kLate = 3;
// One attempt of so many may be a second one; so many in a row, when none was needed for long.
constexpr double kShare = 0.1, kMostSaved = 10;
// Tokens of the slower miner that are waited for and compared.
constexpr std::size_t kCompared = 8;

}  // namespace

void TaskTable::earn_hedge() {
  hedges_saved_ = std::min(kMostSaved, hedges_saved_ + kShare);
}

// Its first token is.
bool TaskTable::late(const Attempt& attempt) const {
  const Engagement& engagement = attempt.engagement();
  const std::chrono::duration<double> expected(kLate * engagement.first_token);
  return !attempt.started() &&
         context_.executor.now() - engagement.since >=
             std::max<Clock::duration>(context_.options.hedge_least,
                                       std::chrono::duration_cast<Clock::duration>(expected));
}

// Only where it takes nothing from others: a miner is free and no answer waits for one.
void TaskTable::hedge_if_late(Task& task, Choice& choice) {
  if (choice.copies != 1 || choice.attempts.size() != 1 || choice.hedged || hedges_saved_ < 1) return;
  if (!choice.delivered.empty() || !late(*choice.attempts.front())) return;
  const Digest& model = task.spec.model->manifest.weights;
  for (const QueueClass queue_class : kQueueClasses)
    if (waiting_.size(model, queue_class) > 0) return;
  if (!anybody_free(protocol::Role::miner, model) || !start_attempt(task, choice)) return;
  hedges_saved_ -= 1;
  choice.hedged = true;
  metrics::counter("cortensor_router_hedges_total", "Answers begun by a second miner, as the first was late")
      .add();
  log::info("attempt_hedged", {{"task", task.id.value}, {"choice", choice.index}});
}

// `at` has made tokens.
void TaskTable::race(const Found& at) {
  Choice& choice = *at.choice;
  if (choice.attempts.size() <= choice.copies) return;
  if (choice.lead() != nullptr && !choice.lead()->started()) choice.lead_id = at.attempt->id();
  if (choice.lead() != at.attempt && at.attempt->steps().size() >= kCompared) end_race(*at.task, choice);
}

// What the other has made by now is compared; it is stopped, and not paid. Not to have begun so late says how
// slow it is.
void TaskTable::end_race(const Task& task, Choice& choice) {
  if (choice.attempts.size() <= choice.copies) return;
  const Attempt* lead = choice.lead();
  const auto other = std::find_if(choice.attempts.begin(), choice.attempts.end(),
                                  [&](const auto& one) { return one.get() != lead; });
  if (late(**other)) {
    context_.nodes.saw_first_token((*other)->engagement());
    doubt(task, (*other)->miner());
  }
  const std::vector<Step>&made = (*other)->steps(), &answer = lead->steps();
  const auto both = static_cast<std::ptrdiff_t>(std::min(made.size(), answer.size()));
  if (!std::equal(made.begin(), made.begin() + both, answer.begin()))
    choice.rival = Rival{(*other)->miner(), {made.begin(), made.begin() + both}};
  drop_attempt(choice, **other, true);
}

// A check that found the answer valid has found the rival wrong. (Who made an answer found invalid is out.)
void TaskTable::decide_race(const Choice& choice, ledger::TaskOutcome outcome) {
  if (choice.rival && outcome == ledger::TaskOutcome::valid)
    context_.conduct.strike(choice.rival->miner, "it made another beginning than an answer found valid");
}

}  // namespace cortensor::router
