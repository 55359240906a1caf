// Hedging: an answer whose next token is late is gone on with by a second miner as well. Whoever is ahead is
// delivered; what the other makes until it is stopped has to be the same, which checks both for nothing.
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

// It has tokens that go on behind those delivered.
bool overtakes(const Attempt& attempt, const Choice& choice) {
  const std::vector<Step>&steps = attempt.steps(), &delivered = choice.delivered;
  return steps.size() > delivered.size() &&
         std::equal(delivered.begin(), delivered.end(), steps.begin(),
                    [](const Step& a, const Step& b) { return a.token == b.token; });
}

// Of the two at work the one that does not lead.
Attempt* slower_of(const Choice& choice) {
  const auto found = std::find_if(choice.attempts.begin(), choice.attempts.end(),
                                  [&](const auto& one) { return one->id() != choice.lead_id; });
  return found->get();
}

}  // namespace

void TaskTable::earn_hedge() {
  hedges_saved_ = std::min(kMostSaved, hedges_saved_ + kShare);
}

// Its first new token is, or the next of its strides.
bool TaskTable::late(const Attempt& attempt) const {
  if (attempt.ended()) return false;
  const Engagement& engagement = attempt.engagement();
  const bool began = attempt.fresh() > 0;
  const double usual =
      began ? Attempt::kStride * context_.nodes.token_now(engagement) : engagement.first_token;
  const auto limit =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(kLate * usual));
  return context_.executor.now() - (began ? attempt.stride_since() : engagement.since) >=
         std::max<Clock::duration>(context_.options.hedge_least, limit);
}

// Only where it takes nothing from others: a miner is free and no answer waits for one.
void TaskTable::hedge_if_late(Task& task, Choice& choice) {
  if (choice.copies != 1 || choice.attempts.size() != 1 || hedges_saved_ < 1) return;
  const Attempt& first = *choice.attempts.front();
  if (choice.hedged == first.id() || !late(first)) return;
  const Digest& model = task.spec.model->manifest.weights;
  for (const QueueClass queue_class : kQueueClasses)
    if (waiting_.size(model, queue_class) > 0) return;
  const AttemptId hedged = first.id();
  if (!anybody_free(protocol::Role::miner, model) || !start_attempt(task, choice)) return;
  hedges_saved_ -= 1;
  choice.hedged = hedged;
  metrics::counter("cortensor_router_hedges_total",
                   "Answers gone on with by a second miner, as the first was late")
      .add();
  log::info("attempt_hedged",
            {{"task", task.id.value}, {"choice", choice.index}, {"delivered", choice.delivered.size()}});
}

// `at` has made tokens.
void TaskTable::race(const Found& at) {
  Choice& choice = *at.choice;
  if (choice.attempts.size() <= choice.copies || choice.lead() == nullptr) return;
  if (choice.lead() != at.attempt && overtakes(*at.attempt, choice)) choice.lead_id = at.attempt->id();
  std::size_t given =
      0;  // to either of them; these tokens it has not made by itself, or the other has from it
  for (const auto& attempt : choice.attempts) given = std::max(given, attempt->given().size());
  if (slower_of(choice)->steps().size() >= given + kCompared) end_race(*at.task, choice);
}

// What the slower one has made by now is compared; it is stopped. To be late still says how slow it is.
void TaskTable::end_race(const Task& task, Choice& choice) {
  if (choice.attempts.size() <= choice.copies) return;
  Attempt& slower = *slower_of(choice);
  if (late(slower)) {
    if (const auto speed = slower.tokens_per_second(context_.executor.now()))
      context_.nodes.saw_tokens(slower.engagement(), *speed);
    else if (slower.fresh() == 0)
      context_.nodes.saw_first_token(slower.engagement());
    doubt(task, slower.miner());
  }
  const std::vector<Step>&made = slower.steps(), &answer = choice.lead()->steps();
  const auto both = static_cast<std::ptrdiff_t>(std::min(made.size(), answer.size()));
  if (!std::equal(made.begin(), made.begin() + both, answer.begin())) choice.rival = slower.miner();
  drop_attempt(choice, slower, true);
}

// A check that found the answer valid has found the rival wrong. (Who made an answer found invalid is out.)
void TaskTable::decide_race(const Choice& choice, ledger::TaskOutcome outcome) {
  if (choice.rival && outcome == ledger::TaskOutcome::valid)
    context_.conduct.strike(*choice.rival, "it did not come to the same as an answer found valid");
}

}  // namespace cortensor::router
