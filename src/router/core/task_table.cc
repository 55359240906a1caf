#include "router/core/task_table.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "crypto/random.h"
#include "crypto/sha256.h"
#include "protocol/canonical.h"
#include "router/core/patience.h"

namespace cortensor::router {
namespace {

// Before a miner that had no room is asked again, per refusal of its so far, of which so many count.
constexpr std::chrono::milliseconds kBusyPause{100};
constexpr std::size_t kMostBusyPauses = 10;

// Of a miner's cache, at most.
std::size_t positions_of(const GenerationRequest& request) {
  return cache_positions(request.prompt.size() + request.max_tokens);
}

Work work_of(const ledger::SessionSpec& session, const protocol::ModelManifest& model,
             const GenerationRequest& request, std::size_t given) {
  Work work;
  work.weights = model.weights;
  work.prompt_tokens = request.prompt.size() + given;
  work.answer_tokens = request.max_tokens - given;
  work.service = &session.service;
  work.account = &session.account;
  return work;
}

Error too_long() {
  return fail(ErrorKind::invalid_input,
              "prompt and answer are longer than any miner here has memory for; nothing was charged");
}

Error irreproducible() {
  return fail(ErrorKind::unavailable,
              "the answer so far could not be reproduced by other miners; nothing was charged");
}

// So many tokens of the attempt are those that were delivered.
std::size_t agreed(const Attempt& attempt, const Choice& choice) {
  const auto same = [](const Step& a, const Step& b) { return a.token == b.token; };
  const std::vector<Step>&steps = attempt.steps(), &delivered = choice.delivered;
  const auto other = std::mismatch(steps.begin(), steps.end(), delivered.begin(), delivered.end(), same);
  return static_cast<std::size_t>(other.second - delivered.begin());
}

bool contradicts(const Attempt& attempt, const Choice& choice) {
  return agreed(attempt, choice) < std::min(attempt.steps().size(), choice.delivered.size());
}

// Nobody is left to ask; `why` is what became of the last attempt.
Error incomplete(const Choice& choice, const Error& why) {
  if (why.kind == ErrorKind::unsupported && !choice.request.grammar.empty())
    return fail(
        ErrorKind::unsupported,
        "the grammar leaves the model no way to go on, or too many at once; nothing was charged for it");
  if (why.kind == ErrorKind::invalid_input) return too_long();
  return fail(ErrorKind::unavailable, "no miner could complete the answer; nothing was charged");
}

}  // namespace

std::uint32_t copies_of(const ledger::SessionSpec& session) {
  return session.validation.level == protocol::ValidationLevel::quorum ? session.validation.quorum_n
                                                                       : std::max(session.redundancy, 1u);
}

Result<Credits> worst_case(const ledger::SessionSpec& session, ledger::Price price,
                           std::span<const GenerationRequest> requests) {
  const std::uint32_t copies = copies_of(session);
  const bool replay = session.validation.level != protocol::ValidationLevel::none || copies > 1;
  Credits sum;
  for (const GenerationRequest& request : requests) {
    const auto cost = worst_case(price, request, copies, replay);
    if (!cost) return cost.error();
    auto more = add(sum, *cost);
    if (!more) return std::move(more).error();
    sum = *more;
  }
  return sum;
}

TaskTable::TaskTable(TaskContext context) : context_(context), alive_(std::make_shared<bool>(true)) {
  crypto::random_bytes(salt_key_);
}

Result<TaskId> TaskTable::submit(TaskSpec spec, std::shared_ptr<TaskListener> listener) {
  const ledger::SessionSpec& rules = spec.session.spec;
  const protocol::ModelManifest& model = spec.model->manifest;
  if (rules.model != model.id)
    return fail(ErrorKind::invalid_input, "the session is for model " + rules.model + ", not " + model.id);
  const auto price = context_.ledger.price(model.id);
  if (!price) return price.error();
  if ((rules.max_prompt_price && price->prompt > *rules.max_prompt_price) ||
      (rules.max_completion_price && price->completion > *rules.max_completion_price))
    return fail(ErrorKind::conflict, "model " + model.id + " now costs more than the session's limit");
  const auto worst = worst_case(rules, *price, spec.requests);
  if (!worst) return worst.error();

  const std::size_t attached = context_.nodes.count(protocol::Role::miner, model.weights);
  const std::size_t needed =
      rules.validation.level == protocol::ValidationLevel::quorum ? rules.validation.quorum_k : 1;
  const std::string expected =
      "model " + model.id + ": expected at least " + std::to_string(needed) + " miner(s) ";
  if (attached < needed)
    return fail(ErrorKind::unavailable, expected + "with it, " + std::to_string(attached) + " are attached");
  std::vector<std::uint32_t> copies;
  for (const GenerationRequest& request : spec.requests) {
    const Work any{model.weights, request.prompt.size(), request.max_tokens};
    if (context_.allocator.able(any) == 0) return too_long();
    const std::size_t able = context_.allocator.able(work_of(rules, model, request, 0));
    if (able < needed)
      return fail(ErrorKind::unavailable,
                  expected +
                      "with memory for it that work for this account and reach what the session asks for, " +
                      std::to_string(able) + " of " + std::to_string(attached) + " do");
    copies.push_back(static_cast<std::uint32_t>(std::min<std::size_t>(copies_of(rules), able)));
  }
  if (auto status = room_for(demand_of(spec)); !status) return status.error();
  if (tasks_.contains(spec.id))
    return fail(ErrorKind::unavailable,
                "the answer has just been complete here and is being paid for; ask again");
  if (auto status = context_.sessions.reserve(spec.session.id, *worst, context_.executor.wall_now()); !status)
    return status.error();

  auto task = std::make_unique<Task>();
  task->id = spec.id.empty() ? TaskId(name("task_")) : spec.id;
  task->listener = std::move(listener);
  task->price = *price;
  task->reserved = *worst;
  for (std::uint32_t i = 0; i < spec.requests.size(); ++i) {
    const auto part = worst_case(rules, *price, {&spec.requests[i], 1});
    auto choice = std::make_unique<Choice>(i, std::move(spec.requests[i]), *spec.model);
    choice->reserved = *part;  // the sum of all was worked out above
    choice->copies = copies[i];
    task->choices.push_back(std::move(choice));
  }
  spec.requests.clear();
  const Clock::time_point received = spec.received;
  task->spec = std::move(spec);
  Task& placed = *tasks_.emplace(task->id, std::move(task)).first->second;
  for (const auto& choice : placed.choices) wait_for_miner(placed, *choice, false);
  serve_waiting();
  placed.router_time += context_.executor.now() - received;
  return placed.id;
}

void TaskTable::cancel(const TaskId& id) {
  Task* task = find(id);
  if (task == nullptr) return;
  task->listener.reset();
  const auto unanswered = [](const auto& choice) { return choice->phase == Choice::Phase::answering; };
  if (std::all_of(task->choices.begin(), task->choices.end(), unanswered)) {
    metrics::counter("cortensor_router_tasks_total", "Tasks by their end", "end=\"cancelled\"").add();
    remove(id);
    return pump();
  }
  bool any = false;
  waiting_.remove(id, context_.executor.now());
  for (const auto& choice : task->choices) {
    if (!unanswered(choice)) continue;
    any = true;
    drop_all(*choice);
    choice->phase = Choice::Phase::cancelled;
    context_.sessions.reduce(task->spec.session.id, choice->reserved);
    task->reserved -= choice->reserved;
  }
  if (!any) return;
  settle_if_closed(*task);
  pump();
}

// The accounts' prompts do not meet in a miner's cache, and two miners cannot tell by it whose prompts they
// get.
Bytes32 TaskTable::cache_salt(const AccountId& account, const NodeId& miner) const {
  ByteWriter bytes;
  bytes.text(account.value);
  bytes.text(miner.value);
  return crypto::hmac_sha256(salt_key_, bytes.bytes());
}

AttachedNode* TaskTable::choose_miner(const Task& task, Choice& choice, std::size_t given,
                                      Decision& decision) {
  std::set<NodeId> except = choice.failed;
  for (const auto& attempt : choice.attempts) except.insert(attempt->miner());
  for (const auto& [miner, pause] : choice.pauses)
    if (pause.until > context_.executor.now()) except.insert(miner);
  if (choice.prefix.empty())
    // The same on every router: it leaves none.
    choice.prefix = prefix_keys(crypto::sha256(bytes_of(task.spec.account.value)), choice.request.prompt);
  Work work = work_of(task.spec.session.spec, task.spec.model->manifest, choice.request, given);
  work.prefix = choice.prefix;
  work.draw = std::hash<TaskId>{}(task.id) + 64 * choice.index + choice.started;
  work.except = &except;
  return context_.allocator.choose(work, decision);
}

bool TaskTable::start_attempt(Task& task, Choice& choice) {
  const protocol::ModelManifest& model = task.spec.model->manifest;
  const bool leads = choice.lead() == nullptr;
  // Where several answer at the same time, each does so by itself.
  std::vector<Step> given = leads || choice.copies == 1 ? choice.delivered : std::vector<Step>{};
  Decision decision;
  AttachedNode* node = choose_miner(task, choice, given.size(), decision);
  if (node == nullptr) return false;

  protocol::Assign assign;
  assign.attempt = AttemptId(name("att_"));
  assign.model = model.weights;
  assign.request = choice.request;
  for (const Step& step : given) assign.given.push_back(step.token);
  assign.want_logprobs = task.spec.want_logprobs;
  assign.top_logprobs = task.spec.top_logprobs;
  assign.cache_salt = cache_salt(task.spec.account, node->id);
  if (choice.copies == 1) assign.segment_tokens = context_.options.segment_tokens;

  const std::size_t prompt = choice.request.prompt.size() + given.size();
  const std::size_t cached = decision.cached_tokens;
  Engagement engagement =
      context_.nodes.engage(*node, model.weights, prompt - cached, cached, positions_of(choice.request));
  engagement.first_token = decision.first_token;
  context_.allocator.prefixes().note(node->link, choice.prefix);
  decision.attempt = assign.attempt;
  decision.choice = choice.index;
  decision.given_tokens = given.size();
  context_.decisions.add(task.spec.account, task.id, std::move(decision));

  ++choice.started;
  choice.asked.insert(node->id);
  earn_hedge();
  if (leads) choice.lead_id = assign.attempt;
  choice.attempts.push_back(std::make_unique<Attempt>(assign.attempt, node->id, engagement, std::move(given),
                                                      choice.request, task.spec.model->tokenizer,
                                                      model.context_length, context_.executor.now()));
  attempts_[assign.attempt] = {&task, &choice, choice.attempts.back().get()};
  log::info("attempt_started", {{"task", task.id.value},
                                {"choice", choice.index},
                                {"attempt", assign.attempt.value},
                                {"miner", node->id.value},
                                {"given", assign.given.size()}});
  context_.links.send(node->link, std::move(assign));
  return true;
}

void TaskTable::on_steps(protocol::LinkId link, const protocol::Steps& message) {
  const Clock::time_point began = context_.executor.now();
  const auto at = find(link, message.attempt);
  if (!at) return;
  if (auto status = at->attempt->take(message, began); !status) return breach(*at, status.error(), true);
  Engagement& engagement = at->attempt->engagement();
  if (engagement.own_tokens > 0 && !at->attempt->catching_up()) {
    context_.nodes.saw_first_token(engagement);
    context_.nodes.prompt_computed(engagement);
  }
  race(*at);
  if (!attempts_.contains(message.attempt)) return;  // it was the slower one, and is no longer needed
  if (at->choice->lead() == at->attempt) deliver(*at->task, *at->choice);
  if (!find_lead(*at->task, *at->choice) && contradicts(*at->attempt, *at->choice)) return object(*at, true);
  const Clock::duration spent = context_.executor.now() - began;
  at->task->router_time += spent;
  if (!at->attempt->ended()) at->task->beside_model += spent;
}

void TaskTable::deliver(Task& task, Choice& choice) {
  if (choice.request.embedding > 0) return;  // as a whole, and signed: conclude()
  const Attempt& lead = *choice.lead();
  const std::size_t first = choice.delivered.size();
  if (lead.steps().size() <= first) return;
  std::string text;
  for (std::size_t i = first; i < lead.steps().size(); ++i) {
    text += choice.text.feed(lead.steps()[i].token).text;
    choice.delivered.push_back(lead.steps()[i]);
  }
  choice.supplier = lead.miner();
  static metrics::Counter& tokens =
      metrics::counter("cortensor_router_tokens_total", "Tokens delivered to clients");
  tokens.add(lead.steps().size() - first);
  if (task.listener)
    task.listener->on_delta({choice.index, text, std::span(lead.steps()).subspan(first),
                             std::span(lead.logprobs()).subspan(first)});
}

void TaskTable::on_segment(protocol::LinkId link, const protocol::Segment& message) {
  const auto at = find(link, message.commitment.attempt);
  if (!at) return;
  Choice& choice = *at->choice;
  if (auto status =
          at->attempt->sign(message, context_.options.segment_tokens, context_.options.arithmetic_version,
                            at->task->spec.model->manifest.weights, choice.request_digest);
      !status)
    return breach(*at, status.error(), true);
  if (choice.copies > 1 || contradicts(*at->attempt, choice)) return;
  std::vector<protocol::Commitment>& segments = choice.segments;
  if (!segments.empty() && segments.back().attempt == at->attempt->id()) segments.pop_back();
  if (segments.empty() || segments.back().count < message.commitment.count)
    segments.push_back(message.commitment);
}

void TaskTable::on_submission(protocol::LinkId link, const protocol::Submission& message) {
  if (let_go(link, message.commitment.attempt)) return;
  const auto at = find(link, message.commitment.attempt);
  if (!at) return;
  Task& task = *at->task;
  Choice& choice = *at->choice;
  Attempt& attempt = *at->attempt;
  const Stopwatch stopwatch(*this, task.id);
  const Digest& weights = task.spec.model->manifest.weights;
  if (auto status =
          attempt.finish(message, context_.options.arithmetic_version, weights, choice.request_digest);
      !status)
    return breach(*at, status.error(), false);
  context_.nodes.release(attempt.engagement());
  if (const auto speed = attempt.tokens_per_second(attempt.last_progress()))
    context_.nodes.saw_tokens(attempt.engagement(), *speed);
  context_.nodes.succeeded(attempt.engagement(), message.cached_tokens);

  // A signed end that the tokens do not bear out is proof enough. Only where nobody else could go on is the
  // answer kept, for a validator to condemn.
  if (attempt.false_end()) {
    std::set<NodeId> except = choice.failed;
    for (const auto& one : choice.attempts) except.insert(one->miner());
    const bool replaceable = context_.nodes.count(protocol::Role::miner, weights, except) > 0;
    if (replaceable || context_.nodes.count(protocol::Role::validator, weights, {attempt.miner()}) == 0) {
      choice.failed.insert(attempt.miner());
      context_.conduct.quarantine(attempt.miner(), "an answer that ends without a reason",
                                  protocol::commitment_digest(message.commitment));
      lose_attempt(*at, fail(ErrorKind::corrupt, "the answer ends without a reason"), false);
      return;
    }
  }
  if (choice.lead() == &attempt) deliver(task, choice);
  if (!find_lead(task, choice) && contradicts(attempt, choice)) return object(*at, false);
  if (choice.lead() == &attempt) end_race(task, choice);
  if (choice.all_finished() && choice.attempts.size() >= choice.copies) conclude(task, choice);
  pump();
}

void TaskTable::on_attempt_failed(protocol::LinkId link, const protocol::AttemptFailed& message) {
  if (let_go(link, message.attempt)) return;
  const auto at = find(link, message.attempt);
  if (!at) return;
  // (Who took part of its own answer back has nothing to object to.)
  if (message.kind == ErrorKind::conflict && at->attempt->catching_up() &&
      at->choice->supplier != at->attempt->miner())
    return object(*at, false);
  const bool refused = message.kind == ErrorKind::overloaded && !at->attempt->started();
  if (refused) {
    --at->choice->started;
    Pause& pause = at->choice->pauses[at->attempt->miner()];
    pause.refusals = std::min(pause.refusals + 1, kMostBusyPauses);
    pause.until = context_.executor.now() + kBusyPause * static_cast<int>(pause.refusals);
  } else {
    at->choice->failed.insert(at->attempt->miner());
    // A request that is too large for a miner, or has a grammar that leads nowhere, says nothing about it.
    const bool leads_nowhere = message.kind == ErrorKind::unsupported && !at->choice->request.grammar.empty();
    if (message.kind != ErrorKind::invalid_input && !leads_nowhere) doubt(*at->task, at->attempt->miner());
  }
  lose_attempt(*at, Error{message.kind, "the miner failed"}, false);
}

// tell: the miner is still at work on it.
void TaskTable::breach(const Found& at, const Error& why, bool tell) {
  at.choice->failed.insert(at.attempt->miner());
  doubt(*at.task, at.attempt->miner());
  context_.conduct.strike(at.attempt->miner(), why.message);
  lose_attempt(at, why, tell);
}

// Whether this is the last word on an attempt that was cancelled. Only then is its slot free: a miner is not
// given more than it can hold by clients that come and go.
bool TaskTable::let_go(protocol::LinkId link, const AttemptId& attempt) {
  const auto found = cancelled_.find(attempt);
  if (found == cancelled_.end() || found->second.link != link) return false;
  context_.nodes.release(found->second);
  cancelled_.erase(found);
  pump();
  return true;
}

// The miner computes another token than one that was delivered. What the client has not seen is taken back,
// and the answer goes on from there, with this miner or any other; else a third miner is asked. tell: the
// miner is still at work on it.
void TaskTable::object(const Found& at, bool tell) {
  Task& task = *at.task;
  Choice& choice = *at.choice;
  const NodeId objector = at.attempt->miner();
  if (choice.lead() != nullptr && choice.lead() != at.attempt) {
    choice.failed.insert(objector);
    choice.rival = objector;
    return lose_attempt(at, fail(ErrorKind::conflict, "the miner differs from the one that leads"), tell);
  }
  if (choice.supplier) {
    choice.failed.insert(*choice.supplier);
    doubt(task, *choice.supplier);
  }
  if (!take_back(task, choice, objector, agreed(*at.attempt, choice))) {
    choice.failed.insert(objector);
    if (refuted(choice, objector)) {
      drop_attempt(choice, *at.attempt, tell);
      return fail_task(task.id, irreproducible());
    }
  }
  lose_attempt(at, fail(ErrorKind::conflict, "the miner cannot reproduce the tokens it was given"), tell);
}

// False when the client has seen more than the first `agreed` tokens.
bool TaskTable::take_back(Task& task, Choice& choice, const NodeId& objector, std::size_t agreed) {
  if (!choice.supplier || !task.listener) return false;
  const std::size_t seen = task.listener->on_retract(choice.index);
  if (seen > agreed) {
    choice.shorten(seen, *task.spec.model);  // what it has let go of is to be delivered again
    return false;
  }
  log::warning("answer_taken_back", {{"task", task.id.value},
                                     {"choice", choice.index},
                                     {"tokens", choice.delivered.size() - seen},
                                     {"supplier", choice.supplier->value},
                                     {"objector", objector.value}});
  choice.disputes.push_back({*choice.supplier, objector, choice.delivered});
  choice.shorten(seen, *task.spec.model);
  if (choice.delivered.empty()) choice.supplier.reset();
  while (!choice.segments.empty() && choice.segments.back().count > seen) {
    choice.withdrawn.push_back(std::move(choice.segments.back()));
    choice.segments.pop_back();
  }
  return true;
}

// The leader was lost, and an attempt beside it has come to other tokens.
bool TaskTable::take_back_for_another(Task& task, Choice& choice) {
  for (const auto& attempt : choice.attempts)
    if (contradicts(*attempt, choice) && take_back(task, choice, attempt->miner(), agreed(*attempt, choice)))
      return promote(task, choice);
  return false;
}

bool TaskTable::find_lead(Task& task, Choice& choice) {
  return choice.lead() != nullptr || promote(task, choice) || take_back_for_another(task, choice);
}

// Somebody objects, and whoever delivered the tokens has gone without signing them.
bool TaskTable::contested(const Choice& choice) const {
  return !choice.objectors.empty() && choice.supplier.has_value();
}

void TaskTable::doubt(const Task& task, const NodeId& miner) {
  context_.nodes.failed(miner, task.spec.model->manifest.weights);
}

// One objector may be the liar itself; when two agree, the miner is struck that delivered the tokens last. A
// miner before it may have altered them, but then it has vouched for them against its own computation.
bool TaskTable::refuted(Choice& choice, const NodeId& objector) {
  constexpr std::size_t kEnough = 2;
  choice.objectors.insert(objector);
  if (choice.objectors.size() < kEnough) return false;
  if (choice.supplier)
    context_.conduct.strike(*choice.supplier, "two miners could not reproduce the tokens it delivered");
  return true;
}

void TaskTable::lose_attempt(const Found& at, const Error& why, bool tell) {
  Task& task = *at.task;
  Choice& choice = *at.choice;
  metrics::counter("cortensor_router_attempts_lost_total", "Attempts that ended without a submission").add();
  log::warning("attempt_lost", {{"task", task.id.value},
                                {"choice", choice.index},
                                {"attempt", at.attempt->id().value},
                                {"miner", at.attempt->miner().value},
                                {"delivered", choice.delivered.size()},
                                {"reason", why.message}});
  choice.refused = why.kind == ErrorKind::overloaded && !at.attempt->started();
  drop_attempt(choice, *at.attempt, tell);
  const bool has_lead = find_lead(task, choice);
  if (!has_lead)
    for (const auto& attempt : choice.attempts)
      if (contradicts(*attempt, choice)) return object({&task, &choice, attempt.get()}, true);

  std::set<NodeId> except = choice.failed;
  for (const auto& attempt : choice.attempts) except.insert(attempt->miner());
  const Digest& weights = task.spec.model->manifest.weights;
  Work work = work_of(task.spec.session.spec, task.spec.model->manifest, choice.request, 0);
  work.except = &except;
  const bool others = context_.allocator.able(work) > 0;
  const bool tired = choice.started >= context_.options.max_attempts;
  if (has_lead && (tired || !others)) choice.copies = static_cast<std::uint32_t>(choice.attempts.size());
  // Nobody attached is worth a wait, as nodes dial again; nobody but those that failed is not.
  const bool hopeless =
      !others && choice.attempts.empty() && context_.nodes.count(protocol::Role::miner, weights) > 0;
  if (!has_lead && (tired || hopeless)) {
    // Word against word; but the one has gone without signing, and would lead the next request astray too.
    const auto signed_by = [&](const protocol::Commitment& one) { return one.miner == *choice.supplier; };
    if (contested(choice) && std::none_of(choice.segments.begin(), choice.segments.end(), signed_by))
      context_.conduct.strike(*choice.supplier,
                              "another miner could not reproduce the tokens it left unsigned");
    if (why.kind == ErrorKind::unsupported && !choice.request.grammar.empty() && task.listener) {
      // The request itself cannot be completed. What is complete of it is checked and paid for.
      task.listener->on_failed(incomplete(choice, why));
      return cancel(task.id);
    }
    return fail_task(task.id, contested(choice) ? irreproducible() : incomplete(choice, why));
  }
  if (choice.attempts.size() < choice.copies)
    wait_for_miner(task, choice, true);
  else if (choice.all_finished())
    conclude(task, choice);
  pump();
}

bool TaskTable::promote(Task& task, Choice& choice) {
  for (const auto& attempt : choice.attempts) {
    if (agreed(*attempt, choice) < choice.delivered.size()) continue;
    choice.lead_id = attempt->id();
    deliver(task, choice);
    return true;
  }
  return false;
}

void TaskTable::drop_attempt(Choice& choice, Attempt& attempt, bool tell) {
  if (!attempt.commitment()) {
    if (tell) {
      cancelled_.emplace(attempt.id(), attempt.engagement());
      context_.links.send(attempt.link(), protocol::Cancel{attempt.id()});
    } else {
      context_.nodes.release(attempt.engagement());
    }
  }
  if (choice.lead_id == attempt.id()) choice.lead_id = {};
  attempts_.erase(attempt.id());
  std::erase_if(choice.attempts, [&](const auto& one) { return one.get() == &attempt; });
}

void TaskTable::drop_all(Choice& choice) {
  while (!choice.attempts.empty()) drop_attempt(choice, *choice.attempts.back(), true);
}

std::chrono::milliseconds TaskTable::prefill_patience(const Task& task, protocol::LinkId link,
                                                      std::size_t tokens,
                                                      std::chrono::milliseconds least) const {
  const AttachedNode* node = context_.nodes.find(link);
  const AttachedModel* model = node == nullptr ? nullptr : node->model(task.spec.model->manifest.weights);
  return patience(tokens, model == nullptr ? 0 : model->record->prefill_tokens_per_second(), least);
}

void TaskTable::on_node_gone(protocol::LinkId link) {
  std::erase_if(cancelled_, [&](const auto& one) { return one.second.link == link; });
  std::vector<AttemptId> lost;
  for (const auto& [id, task] : tasks_)
    for (const auto& choice : task->choices) {
      for (const auto& attempt : choice->attempts)
        if (attempt->link() == link && !attempt->commitment()) lost.push_back(attempt->id());
      if (choice->checker == link) {
        choice->checker.reset();
        wait_for_validator(*task, *choice, true);
      }
    }
  for (const AttemptId& id : lost)
    if (const auto at = find(link, id))
      lose_attempt(*at, fail(ErrorKind::unavailable, "the link closed"), false);
  pump();
}

void TaskTable::tick() {
  std::vector<Place> places;
  for (const auto& [id, task] : tasks_)
    for (const auto& choice : task->choices) places.push_back({id, choice->index});
  for (const Place& place : places) check_times(place);
  pump();
  tell_waiting();
}

void TaskTable::check_times(const Place& place) {
  const auto found = find(place);
  if (!found) return;
  Task& task = *found->task;
  Choice& choice = *found->choice;
  const Clock::time_point now = context_.executor.now();
  const CoreOptions& options = context_.options;
  if (choice.phase == Choice::Phase::checking && now >= choice.check_deadline)
    return give_up_check(task, choice, "no validator reached a verdict in time");
  if (choice.phase != Choice::Phase::answering) return;

  for (const auto& attempt : choice.attempts) {
    const bool prefill = !attempt->started() || attempt->catching_up();
    const auto limit = prefill ? prefill_patience(task, attempt->link(),
                                                  choice.request.prompt.size() + attempt->given().size(),
                                                  options.first_step_timeout)
                               : options.stall_timeout;
    if (attempt->commitment() || now - attempt->last_progress() < limit) continue;
    choice.failed.insert(attempt->miner());
    doubt(task, attempt->miner());
    return lose_attempt({&task, &choice, attempt.get()}, fail(ErrorKind::timed_out, "the miner stalled"),
                        true);
  }

  hedge_if_late(task, choice);
  if (choice.attempts.size() >= choice.copies) return;
  const auto given_up = waited_in_vain(task, choice);
  if (!given_up) return;
  if (choice.lead() == nullptr) return fail_task(task.id, *given_up);
  choice.copies = static_cast<std::uint32_t>(choice.attempts.size());
  if (choice.all_finished()) conclude(task, choice);
}

void TaskTable::abandon_all(const Error& why) {
  std::vector<TaskId> unsettled;  // what the ledger has been asked to pay is not taken back
  for (const auto& [id, task] : tasks_)
    if (!task->settling) unsettled.push_back(id);
  for (const TaskId& id : unsettled) fail_task(id, why);
}

void TaskTable::fail_task(const TaskId& id, const Error& why) {
  metrics::counter("cortensor_router_tasks_total", "Tasks by their end", "end=\"failed\"").add();
  log::warning("task_failed", {{"task", id.value}, {"kind", to_string(why.kind)}, {"reason", why.message}});
  const Error told = why;
  const std::unique_ptr<Task> task = remove(id);
  if (task && task->listener) task->listener->on_failed(told);
  pump();
}

std::unique_ptr<Task> TaskTable::remove(const TaskId& id) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return nullptr;
  std::unique_ptr<Task> task = std::move(found->second);
  tasks_.erase(found);
  for (const auto& choice : task->choices) {
    if (choice->checker) {
      free_checker(*choice->checker);
      context_.links.send(*choice->checker, protocol::Cancel{choice->lead_id});
    }
    drop_all(*choice);
  }
  waiting_.remove(id, context_.executor.now());
  unchecked_.remove(id, context_.executor.now());
  context_.sessions.release(task->spec.session.id, task->reserved, context_.executor.wall_now());
  return task;
}

TaskTable::Stopwatch::~Stopwatch() {
  if (Task* task = table_.find(task_); task != nullptr)
    task->router_time += table_.context_.executor.now() - began_;
}

Task* TaskTable::find(const TaskId& task) {
  const auto found = tasks_.find(task);
  return found == tasks_.end() ? nullptr : found->second.get();
}

std::optional<TaskTable::Found> TaskTable::find(const Place& place) {
  Task* task = find(place.task);
  if (task == nullptr) return std::nullopt;
  return Found{task, task->choices[place.choice].get(), nullptr};
}

std::optional<TaskTable::Found> TaskTable::find(protocol::LinkId link, const AttemptId& attempt) {
  const auto found = attempts_.find(attempt);
  if (found == attempts_.end()) return std::nullopt;  // ended or cancelled meanwhile
  const bool own = found->second.attempt->link() == link;
  if (own && !found->second.attempt->commitment()) return found->second;
  if (const AttachedNode* node = context_.nodes.find(link); node != nullptr)
    context_.conduct.strike(
        NodeId(node->id), own ? "a message after the submission" : "a message about another node's attempt");
  return std::nullopt;
}

std::string TaskTable::name(std::string_view prefix) const {
  constexpr int kCharacters = 22;
  return context_.options.make_name ? context_.options.make_name(prefix, kCharacters)
                                    : crypto::random_token(prefix, kCharacters);
}

}  // namespace cortensor::router
