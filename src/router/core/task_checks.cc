// The second half of a task: what to do with a complete answer, and the money.
#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "crypto/random.h"
#include "protocol/canonical.h"
#include "router/core/task_table.h"

namespace cortensor::router {
namespace {

using protocol::ValidationLevel;

// The root covers every token and digest, and Attempt::finish has held it against those that came.
bool same_answer(const Attempt& a, const Attempt& b) {
  return a.commitment()->root == b.commitment()->root && a.commitment()->finish == b.commitment()->finish;
}

// Whoever had a part in the answer, or in a dispute about it.
std::set<NodeId> not_judges(const Choice& choice) {
  std::set<NodeId> nodes = choice.checkers_tried;
  nodes.insert(choice.asked.begin(), choice.asked.end());
  return nodes;
}

}  // namespace

// Every wanted attempt has submitted. Only now is it decided whether anyone checks.
void TaskTable::conclude(Task& task, Choice& choice) {
  const Attempt* lead = choice.lead();
  if (lead == nullptr)
    return fail_task(task.id,
                     fail(ErrorKind::unavailable, "the miners disagree on the answer; nothing was charged"));
  choice.phase = Choice::Phase::checking;
  choice.finish = lead->commitment()->finish;
  for (const auto& other : task.choices) other->waiting_since = context_.executor.now();  // the task moves on
  if (task.listener) {
    // Text held back for an end that did not come.
    if (lead->false_end())
      if (const std::string rest = choice.text.flush(); !rest.empty())
        task.listener->on_delta({choice.index, rest, {}, {}});
    if (choice.request.embedding > 0) task.listener->on_embedding(choice.index, lead->embedding());
    task.listener->on_finish(choice.index, *choice.finish);
  }

  const protocol::Commitment& delivered = *lead->commitment();
  choice.finding.commitments = {delivered};
  std::vector<const protocol::Commitment*> dissent;
  for (const auto& attempt : choice.attempts) {
    if (attempt.get() == lead) continue;
    if (same_answer(*attempt, *lead))
      choice.finding.commitments.push_back(*attempt->commitment());
    else
      dissent.push_back(&*attempt->commitment());
  }

  sort_segments(choice);

  const ledger::Validation& rules = task.spec.session.spec.validation;
  const bool doubtful = lead->contradicts_given() || lead->false_end();
  if (rules.level == ValidationLevel::quorum && !doubtful &&
      choice.finding.commitments.size() >= rules.quorum_k) {
    for (const protocol::Commitment* commitment : dissent)
      context_.conduct.strike(commitment->miner, "outvoted in a quorum",
                              protocol::commitment_digest(*commitment));
    choice.finding.verdicts.push_back(own_verdict(choice, protocol::Method::quorum, protocol::Outcome::valid,
                                                  std::to_string(choice.finding.commitments.size()) +
                                                      " equal roots of " +
                                                      std::to_string(choice.attempts.size())));
    return close(task, choice, ledger::TaskOutcome::valid);
  }
  if (rules.level == ValidationLevel::quorum && outvoted(choice, rules.quorum_k)) {
    choice.finding.verdicts.push_back(own_verdict(
        choice, protocol::Method::quorum, protocol::Outcome::invalid, "outvoted by equal answers of others"));
    context_.conduct.strike(delivered.miner, "outvoted in a quorum", protocol::commitment_digest(delivered));
    return close(task, choice, ledger::TaskOutcome::invalid);
  }
  bool check = doubtful || !dissent.empty() || !choice.objectors.empty() || !choice.disputes.empty() ||
               choice.rival.has_value() || !choice.misfits.empty();
  switch (rules.level) {
    case ValidationLevel::none:
      break;
    case ValidationLevel::spot: {
      const std::uint64_t drawn = context_.options.random ? context_.options.random() : crypto::random_u64();
      check |= drawn % ledger::kMillion < rules.spot_ppm;
      break;
    }
    case ValidationLevel::full:
    case ValidationLevel::quorum:
      check = true;
  }
  if (!check) return close(task, choice, ledger::TaskOutcome::unchecked);
  begin_check(task, choice);
}

// Whose beginnings the answer has, and whose it does not.
void TaskTable::sort_segments(Choice& choice) const {
  const Attempt& lead = *choice.lead();
  const std::span<const Step> steps = lead.steps();
  std::vector<protocol::Commitment>& fitting = choice.finding.segments;
  const auto fits = [&](const protocol::Commitment& segment) {
    return segment.count <= steps.size() &&
           segment.root == engine::transcript_root(steps.first(segment.count));
  };
  for (const protocol::Commitment& segment : choice.segments)
    (fits(segment) ? fitting : choice.misfits).push_back(segment);
  for (const protocol::Commitment& segment : choice.withdrawn)
    if (!fits(segment)) choice.misfits.push_back(segment);
  if (!fitting.empty() && fitting.back().attempt == lead.id()) fitting.pop_back();  // it has signed the whole
}

// Whether as many miners as the quorum asks for agree on an answer that is not the one delivered.
bool TaskTable::outvoted(Choice& choice, std::uint32_t enough) const {
  const Attempt& lead = *choice.lead();
  return std::any_of(choice.attempts.begin(), choice.attempts.end(), [&](const auto& one) {
    if (same_answer(*one, lead)) return false;
    const auto agreeing = std::count_if(choice.attempts.begin(), choice.attempts.end(),
                                        [&](const auto& other) { return same_answer(*other, *one); });
    return static_cast<std::uint32_t>(agreeing) >= enough;
  });
}

void TaskTable::begin_check(Task& task, Choice& choice) {
  choice.check_deadline = context_.executor.now() + context_.options.check_timeout;
  const bool asked_for = task.spec.session.spec.validation.level != ValidationLevel::none;
  if (!asked_for && !another_validator(task, choice))
    return give_up_check(task, choice, "no validator is attached");
  wait_for_validator(task, choice, false);
  pump();
}

bool TaskTable::start_check(Task& task, Choice& choice) {
  const Digest& weights = task.spec.model->manifest.weights;
  AttachedNode* node = context_.nodes.choose_validator(weights, not_judges(choice));
  if (node == nullptr) return false;
  ++node->busy;
  choice.checker = node->link;
  choice.checkers_tried.insert(node->id);
  const Attempt& lead = *choice.lead();
  const auto wait = prefill_patience(task, node->link, choice.request.prompt.size() + lead.steps().size(),
                                     context_.options.check_timeout);
  choice.check_deadline = std::max(choice.check_deadline, context_.executor.now() + wait);
  context_.links.send(node->link, protocol::Check{weights, choice.request, lead.steps(), *lead.commitment()});
  return true;
}

void TaskTable::free_checker(protocol::LinkId link) {
  if (AttachedNode* node = context_.nodes.find(link); node != nullptr && node->busy > 0) --node->busy;
}

void TaskTable::on_check_result(protocol::LinkId link, const protocol::CheckResult& message) {
  const AttachedNode* node = context_.nodes.find(link);
  const auto at = attempts_.find(message.attempt);
  if (node == nullptr || at == attempts_.end()) return;
  Task& task = *at->second.task;
  Choice& choice = *at->second.choice;
  if (choice.phase != Choice::Phase::checking || choice.checker != link) return;
  const Stopwatch stopwatch(*this, task.id);
  const NodeId validator = node->id;
  const protocol::Verdict& verdict = message.verdict;
  const Digest judged = protocol::commitment_digest(choice.finding.commitments.front());
  free_checker(link);
  choice.checker.reset();

  const bool genuine = message.attempt == choice.lead_id && verdict.validator == validator &&
                       verdict.method == protocol::Method::replay && verdict.commitment == judged &&
                       crypto::verify(validator, protocol::signed_bytes(verdict), verdict.signature);
  const bool absurd = choice.lead()->false_end() && verdict.outcome == protocol::Outcome::valid;
  if (!genuine || absurd) {
    context_.conduct.strike(validator,
                            genuine ? "a false end was found valid" : "a verdict that is not its own");
    wait_for_validator(task, choice, true);
    return pump();
  }
  if (verdict.outcome == protocol::Outcome::inconclusive) {
    if (!another_validator(task, choice)) return give_up_check(task, choice, verdict.reason);
    wait_for_validator(task, choice, true);
    return pump();
  }
  choice.finding.verdicts.push_back(verdict);
  switch (verdict.outcome) {
    case protocol::Outcome::valid:
      for (const auto& attempt : choice.attempts)
        if (!same_answer(*attempt, *choice.lead()))
          context_.conduct.quarantine(attempt->miner(), "its answer differs from one found valid",
                                      protocol::commitment_digest(*attempt->commitment()));
      for (const protocol::Commitment& segment : choice.misfits)
        context_.conduct.quarantine(segment.miner, "it signed another beginning than an answer found valid",
                                    protocol::commitment_digest(segment));
      return close(task, choice, ledger::TaskOutcome::valid);
    case protocol::Outcome::invalid:
      for (const auto* signatures : {&choice.finding.commitments, &choice.finding.segments})
        for (const protocol::Commitment& commitment : *signatures)
          if (commitment.count > verdict.first_wrong || commitment.finish)
            context_.conduct.quarantine(
                commitment.miner,
                "an answer found invalid at position " + std::to_string(verdict.first_wrong),
                protocol::commitment_digest(commitment));
      return close(task, choice, ledger::TaskOutcome::invalid);
    case protocol::Outcome::inconclusive:
      break;  // dealt with above
  }
}

bool TaskTable::another_validator(const Task& task, const Choice& choice) const {
  return context_.nodes.count(protocol::Role::validator, task.spec.model->manifest.weights,
                              not_judges(choice)) > 0;
}

void TaskTable::give_up_check(Task& task, Choice& choice, std::string_view reason) {
  if (choice.checker) {
    free_checker(*choice.checker);
    context_.links.send(*choice.checker, protocol::Cancel{choice.lead_id});
    choice.checker.reset();
  }
  if (choice.lead()->false_end())
    return fail_task(task.id,
                     fail(ErrorKind::unavailable, "no miner could complete the answer; nothing was charged"));
  choice.finding.verdicts.push_back(
      own_verdict(choice, protocol::Method::replay, protocol::Outcome::inconclusive, reason));
  close(task, choice, ledger::TaskOutcome::inconclusive);
}

protocol::Verdict TaskTable::own_verdict(const Choice& choice, protocol::Method method,
                                         protocol::Outcome outcome, std::string_view reason) const {
  protocol::Verdict verdict;
  verdict.commitment = protocol::commitment_digest(choice.finding.commitments.front());
  verdict.method = method;
  verdict.outcome = outcome;
  verdict.reason = reason;
  verdict.validator = context_.key.node_id();
  verdict.signature = context_.key.sign(protocol::signed_bytes(verdict));
  return verdict;
}

void TaskTable::close(Task& task, Choice& choice, ledger::TaskOutcome outcome) {
  choice.phase = Choice::Phase::closed;
  choice.finding.outcome = outcome;
  if (outcome == ledger::TaskOutcome::valid)
    for (const NodeId& objector : choice.objectors)
      context_.conduct.strike(objector, "it objected to an answer found valid");
  decide_disputes(choice, outcome);
  decide_race(choice, outcome);
  metrics::counter("cortensor_router_verdicts_total", "Answers by what checking them found",
                   "outcome=\"" + std::string(ledger::to_string(outcome)) + "\"")
      .add();
  log::info("choice_closed",
            {{"task", task.id.value}, {"choice", choice.index}, {"outcome", ledger::to_string(outcome)}});
  settle_if_closed(task);
}

// A signed answer that nobody refuted decides who was wrong about tokens that were taken back.
void TaskTable::decide_disputes(Choice& choice, ledger::TaskOutcome outcome) {
  if (outcome == ledger::TaskOutcome::invalid) return;
  const std::vector<Step>& answer = choice.lead()->steps();
  for (const Dispute& dispute : choice.disputes) {
    const std::vector<Step>& contested = dispute.contested;
    const bool same = contested.size() <= answer.size() &&
                      std::equal(contested.begin(), contested.end(), answer.begin(),
                                 [](const Step& a, const Step& b) { return a.token == b.token; });
    if (!same)
      context_.conduct.strike(dispute.supplier, "it left other tokens unsigned than the answer has");
    else if (outcome == ledger::TaskOutcome::valid)
      context_.conduct.strike(dispute.objector, "it objected to an answer found valid");
  }
}

void TaskTable::settle_if_closed(Task& task) {
  const auto in_progress = [](const auto& one) { return one->in_progress(); };
  if (std::none_of(task.choices.begin(), task.choices.end(), in_progress)) settle(task);
}

// Bills every complete choice, asks the ledger to pay them together, and keeps the task until it has.
void TaskTable::settle(Task& task) {
  auto settled = std::make_shared<Settled>();
  settled->result.task = task.id;
  settled->result.session = task.spec.session.id;
  std::vector<ledger::Settlement> settlements;
  for (const auto& choice : task.choices) {
    if (choice->phase == Choice::Phase::cancelled) continue;
    auto one = bill(task, *choice, *settled);
    if (!one) return fail_task(task.id, std::move(one).error());
    if (*one) settlements.push_back(std::move(**one));
  }
  if (const auto line = task.listener ? task.listener->on_settling(settled->result) : std::nullopt) {
    for (ledger::Settlement& one : settlements) one.line = {line->batch, line->epoch, line->line, false, {}};
    if (!settlements.empty()) settlements.back().line = line;
  }
  task.settling = true;
  context_.settler.settle(std::move(settlements), context_.executor.wall_now(),
                          [this, alive = alive_, id = task.id, settled](const Status& booked) {
                            if (*alive) on_settled(id, *settled, booked);
                          });
}

void TaskTable::on_settled(const TaskId& id, Settled& settled, const Status& booked) {
  if (!booked) {
    log::error("task_not_settled", {{"task", id.value}, {"error", booked.error().message}});
    const Task* task = find(id);
    if (task != nullptr && task->spec.resumed && booked.error().kind == ErrorKind::conflict)
      return fail_task(
          id, fail(ErrorKind::unavailable, "the answer was paid for elsewhere meanwhile; ask again"));
    return fail_task(id, booked.error());
  }
  const Clock::time_point began = context_.executor.now();
  const std::unique_ptr<Task> ended = remove(id);
  if (!ended) return;
  for (protocol::Receipt& receipt : settled.receipts)
    context_.receipts.add(ended->spec.account, std::move(receipt));
  if (ended->listener) ended->listener->on_done(settled.result);
  const Clock::duration spent = ended->router_time + (context_.executor.now() - began);
  metrics::histogram("cortensor_router_work_seconds",
                     "Time the router works for a request, without the ledger's disk")
      .observe_seconds(std::chrono::duration<double>(spent).count());
  metrics::histogram("cortensor_router_overhead_seconds",
                     "The part of it that the request waits for: no model works for it meanwhile")
      .observe_seconds(std::chrono::duration<double>(spent - ended->beside_model).count());
  metrics::counter("cortensor_router_tasks_total", "Tasks by their end", "end=\"done\"").add();
  pump();
}

// What was paid for the choice when the task ran before.
std::optional<Credits> TaskTable::paid_before(const Task& task, const Choice& choice) {
  if (!task.spec.resumed) return std::nullopt;
  const auto found = context_.ledger.settled_task(task.id, choice.index);
  if (!found) return std::nullopt;
  Credits sum;
  for (const ledger::Payment& payment : found->settlement.payments) sum.micro += payment.amount;
  return sum;
}

// What the choice costs and its receipt, added to `settled`; yields what the ledger is to book, if anything.
Result<std::optional<ledger::Settlement>> TaskTable::bill(Task& task, Choice& choice, Settled& settled) {
  const Attempt& lead = *choice.lead();
  const ledger::Usage usage{choice.request.prompt.size(), answer_tokens(choice.request, lead.steps().size())};
  auto charged = make_bill(task.price, usage, choice.finding,
                           task.spec.session.spec.validation.level != ValidationLevel::none ||
                               copies_of(task.spec.session.spec) > 1,
                           context_.key.node_id());
  if (!charged) return std::move(charged).error();
  const auto paid = paid_before(task, choice);
  if (paid) {
    charged->payments.clear();
    charged->total = 0;
  }

  ChoiceResult result;
  result.finish = *choice.finish;
  result.prompt_tokens = charged->prompt_tokens;
  result.cached_tokens = std::min(lead.cached_tokens(), charged->prompt_tokens);
  result.completion_tokens = charged->completion_tokens;
  metrics::counter("cortensor_router_prompt_tokens_total", "Prompt tokens of complete answers")
      .add(result.prompt_tokens);
  metrics::counter("cortensor_router_cached_tokens_total", "Of them, those that miners had in their caches")
      .add(result.cached_tokens);
  result.outcome = choice.finding.outcome;
  result.receipt = name("rcpt_");
  result.cost = paid.value_or(Credits{charged->total});
  for (const protocol::Commitment& commitment : choice.finding.commitments)
    result.miners.push_back(commitment.miner);
  for (const protocol::Commitment& segment : choice.finding.segments)
    if (std::find(result.miners.begin(), result.miners.end(), segment.miner) == result.miners.end())
      result.miners.push_back(segment.miner);

  ReceiptParts parts;
  parts.id = result.receipt;
  parts.issued = context_.executor.wall_now();
  parts.session = task.spec.session.id;
  parts.task = task.id;
  parts.choice = choice.index;
  parts.level = task.spec.session.spec.validation.level;
  parts.model = task.spec.model->manifest;
  parts.request = choice.request;
  parts.steps = lead.steps();
  const ledger::TaskOutcome outcome = choice.finding.outcome;
  protocol::Receipt receipt =
      make_receipt(std::move(parts), std::move(choice.finding), std::move(*charged), context_.key);
  ledger::Settlement settlement{task.id,
                                choice.index,
                                task.spec.session.id,
                                receipt.bill.payments,
                                usage,
                                outcome,
                                protocol::receipt_digest(receipt),
                                context_.sessions.epoch(task.spec.session.id)};
  settled.result.cost += result.cost;
  settled.result.choices.push_back(std::move(result));
  settled.receipts.push_back(std::move(receipt));
  return paid ? std::nullopt : std::optional(std::move(settlement));
}

}  // namespace cortensor::router
