#include "miner/core/miner_core.h"

#include <algorithm>
#include <mutex>

#include "arith/version.h"
#include "engine/kv_pages.h"
#include "engine/transcript.h"
#include "protocol/canonical.h"

namespace cortensor::miner {

// One running assignment. The engine's thread adds steps; the executor's thread sends them, as many as have
// gathered.
struct MinerCore::Attempt {
  AttemptId id;
  protocol::Attachment* router = nullptr;
  std::size_t number = 0;       // of the model
  std::uint32_t positions = 0;  // of its cache
  Digest model{};
  Digest request{};
  engine::Engine* engine = nullptr;
  engine::SequenceHandle sequence;
  std::uint32_t sent = 0;            // steps that the router has been told
  engine::MerkleRoot transcript;     // of them, where segments are wanted
  std::uint32_t segment_tokens = 0;  // in each; 0: none are wanted
  std::size_t given = 0;             // steps that others have made
  std::uint32_t cached_tokens = 0;
  bool cancelled = false;  // the router wants no more of it than to hear when the engine has let go

  std::mutex mutex;
  std::vector<Step> fresh;         // guarded by mutex: made, not yet sent
  std::vector<Logprobs> logprobs;  // guarded by mutex: parallel to fresh, or empty
  std::vector<float> embedding;    // guarded by mutex: of the one step, where it was asked for
  bool flush_is_posted = false;    // guarded by mutex
};

MinerCore::MinerCore(Executor& executor, const crypto::PrivateKey& key, std::vector<engine::Engine*> engines,
                     std::uint32_t slots)
    : executor_(executor),
      key_(key),
      engines_(std::move(engines)),
      sharing_(executor, slots),
      alive_(std::make_shared<bool>(true)) {}

MinerCore::~MinerCore() {
  *alive_ = false;
  for (const auto& [id, attempt] : attempts_) attempt->engine->cancel(attempt->sequence);
}

void MinerCore::on_work(protocol::Attachment& router, protocol::RouterMessage message) {
  if (auto* assign_message = std::get_if<protocol::Assign>(&message))
    assign(router, std::move(*assign_message));
  else if (const auto* cancel_message = std::get_if<protocol::Cancel>(&message))
    cancel(router, cancel_message->attempt);
}

void MinerCore::on_detached(protocol::Attachment& router) {
  std::erase_if(attempts_, [&](const auto& entry) {
    Attempt& attempt = *entry.second;
    if (attempt.router != &router) return false;
    attempt.engine->cancel(attempt.sequence);
    return true;
  });
  sharing_.changed();
}

std::vector<protocol::Occupied> MinerCore::occupied() const {
  std::vector<protocol::Occupied> all;
  for (const auto& [id, attempt] : attempts_)
    all.push_back({attempt->router, attempt->number, attempt->positions});
  return all;
}

void MinerCore::assign(protocol::Attachment& router, protocol::Assign assign) {
  const auto engine = std::find_if(engines_.begin(), engines_.end(), [&](const engine::Engine* candidate) {
    return candidate->info().weights_digest == assign.model;
  });
  if (engine == engines_.end())
    return refuse(router, assign.attempt,
                  fail(ErrorKind::not_found, "this miner does not have the model asked for"));
  if (attempts_.contains(assign.attempt))
    return refuse(router, assign.attempt, fail(ErrorKind::conflict, "this attempt is running already"));
  sharing_.asked(router);
  sharing_.changed();
  if (!sharing_.has_room(router, occupied()))
    return refuse(router, assign.attempt, fail(ErrorKind::overloaded, "no slot is free for this router"));

  auto attempt = std::make_shared<Attempt>();
  attempt->id = assign.attempt;
  attempt->router = &router;
  attempt->number = static_cast<std::size_t>(engine - engines_.begin());
  attempt->positions = static_cast<std::uint32_t>(
      engine::kPagePositions * engine::pages_for(assign.request.prompt.size() + assign.request.max_tokens));
  attempt->model = assign.model;
  attempt->request = protocol::request_digest(assign.model, assign.request);
  attempt->engine = *engine;
  attempt->segment_tokens = assign.segment_tokens;
  attempt->given = assign.given.size();

  // The engine may call after this core is gone: its thread only posts, and what it posts looks first.
  const auto post = [executor = &executor_, alive = alive_](auto work) {
    executor->post([alive, work = std::move(work)] {
      if (*alive) work();
    });
  };
  engine::Callbacks callbacks;
  callbacks.on_start = [attempt, post](std::size_t cached_tokens) {
    post([attempt, cached_tokens] { attempt->cached_tokens = static_cast<std::uint32_t>(cached_tokens); });
  };
  callbacks.on_step = [this, attempt, post](std::size_t, const Step& step, const Logprobs* logprobs) {
    const std::lock_guard lock(attempt->mutex);
    attempt->fresh.push_back(step);
    if (logprobs != nullptr) attempt->logprobs.push_back(*logprobs);
    if (attempt->flush_is_posted) return;
    attempt->flush_is_posted = true;
    post([this, attempt] { flush(attempt); });
  };
  callbacks.on_embedding = [attempt](std::span<const float> elements) {
    const std::lock_guard lock(attempt->mutex);
    attempt->embedding.assign(elements.begin(), elements.end());
  };
  callbacks.on_finish = [this, attempt, post](FinishReason reason, const Digest& root) {
    post([this, attempt, reason, root] { finish(attempt, reason, root); });
  };
  callbacks.on_error = [this, attempt, post](const Error& error) {
    post([this, attempt, error] { give_up(attempt, error); });
  };

  engine::Submission submission;
  submission.request = std::move(assign.request);
  submission.given = std::move(assign.given);
  submission.cache_salt = assign.cache_salt;
  if (assign.want_logprobs) submission.logprobs = assign.top_logprobs;
  // Registered first: the engine may call back before submit() returns.
  attempts_.emplace(attempt->id, attempt);
  auto sequence = attempt->engine->submit(std::move(submission), std::move(callbacks));
  if (!sequence) {
    end(attempt);
    return refuse(router, attempt->id, sequence.error());
  }
  attempt->sequence = *sequence;
}

void MinerCore::cancel(const protocol::Attachment& router, const AttemptId& id) {
  const auto at = attempts_.find(id);
  if (at == attempts_.end() || at->second->router != &router) return;
  at->second->cancelled = true;
  at->second->engine->cancel(at->second->sequence);
}

void MinerCore::flush(const std::shared_ptr<Attempt>& attempt) {
  protocol::Steps message;
  {
    const std::lock_guard lock(attempt->mutex);
    attempt->flush_is_posted = false;
    message.steps.swap(attempt->fresh);
    message.logprobs.swap(attempt->logprobs);
    message.embedding.swap(attempt->embedding);
  }
  if (!is_current(attempt) || attempt->cancelled || message.steps.empty()) return;

  // A resumed answer can bring more given steps at once than one message may hold.
  for (std::size_t at = 0, end = 0; at < message.steps.size(); at = end) {
    end = std::min(at + protocol::kMaxStepsPerMessage, message.steps.size());
    if (const std::uint32_t segment = attempt->segment_tokens; segment > 0)
      end = std::min<std::size_t>(end, at + segment - attempt->sent % segment);
    protocol::Steps part;
    part.attempt = attempt->id;
    part.first = attempt->sent;
    part.steps.assign(message.steps.begin() + static_cast<std::ptrdiff_t>(at),
                      message.steps.begin() + static_cast<std::ptrdiff_t>(end));
    if (message.logprobs.size() == message.steps.size())
      part.logprobs.assign(message.logprobs.begin() + static_cast<std::ptrdiff_t>(at),
                           message.logprobs.begin() + static_cast<std::ptrdiff_t>(end));
    part.embedding = std::exchange(message.embedding, {});  // of the only step
    attempt->sent += static_cast<std::uint32_t>(part.steps.size());
    if (attempt->segment_tokens > 0)
      for (const Step& step : part.steps) attempt->transcript.add(step);
    attempt->router->send(std::move(part));
    if (attempt->segment_tokens > 0 && attempt->sent % attempt->segment_tokens == 0 &&
        attempt->sent > attempt->given)
      attempt->router->send(
          protocol::Segment{commitment(*attempt, std::nullopt, attempt->transcript.root())});
  }
}

protocol::Commitment MinerCore::commitment(const Attempt& attempt, std::optional<FinishReason> finish,
                                           const Digest& root) const {
  protocol::Commitment commitment;
  commitment.arithmetic_version = arith::kArithmeticVersion;
  commitment.model = attempt.model;
  commitment.request = attempt.request;
  commitment.attempt = attempt.id;
  commitment.count = attempt.sent;
  commitment.root = root;
  commitment.finish = finish;
  commitment.miner = key_.node_id();
  commitment.signature = key_.sign(protocol::signed_bytes(commitment));
  return commitment;
}

void MinerCore::finish(const std::shared_ptr<Attempt>& attempt, FinishReason reason, const Digest& root) {
  flush(attempt);
  if (!is_current(attempt)) return;
  if (attempt->cancelled) return give_up(attempt, fail(ErrorKind::cancelled, "cancelled"));
  end(attempt);
  attempt->router->send(protocol::Submission{commitment(*attempt, reason, root), attempt->cached_tokens});
}

void MinerCore::give_up(const std::shared_ptr<Attempt>& attempt, const Error& error) {
  if (!is_current(attempt)) return;
  end(attempt);
  refuse(*attempt->router, attempt->id, error);
}

void MinerCore::end(const std::shared_ptr<Attempt>& attempt) {
  attempts_.erase(attempt->id);
  sharing_.changed();
}

void MinerCore::refuse(protocol::Attachment& router, const AttemptId& id, const Error& error) {
  router.send(protocol::AttemptFailed{id, error.kind, error.message.substr(0, protocol::kMaxReasonBytes)});
}

bool MinerCore::is_current(const std::shared_ptr<Attempt>& attempt) const {
  const auto at = attempts_.find(attempt->id);
  return at != attempts_.end() && at->second == attempt;
}

}  // namespace cortensor::miner
