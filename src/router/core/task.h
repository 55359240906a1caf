// A task: one request of a client, cut into choices that are answered, checked and paid one by one. The
// values that go in and come out, and what the router remembers of one in between.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/generation.h"
#include "base/ids.h"
#include "base/runtime/executor.h"
#include "base/units.h"
#include "engine/text_stream.h"
#include "ledger/types.h"
#include "router/core/attempt.h"
#include "router/core/catalogue.h"
#include "router/core/prefix_index.h"
#include "router/core/settlement.h"
#include "router/core/waiting_line.h"

namespace cortensor::router {

// What a client asks for, checked against the model by check_request(). The session's rules decide on money
// and checks.
struct TaskSpec {
  TaskId id;             // empty: it gets a name
  bool resumed = false;  // it may have run under this name before, and a choice may have been paid for
  AccountId account;
  ledger::Session session;
  const ServedModel* model = nullptr;
  std::vector<GenerationRequest> requests;  // one per choice, at least one
  bool want_logprobs = false;
  std::uint32_t top_logprobs = 0;
  Clock::time_point received;  // when the request was parsed: the router's own time counts from there
  QueueClass queue_class = QueueClass::interactive;
  std::optional<std::chrono::milliseconds> deadline;  // by when, after `received`, each choice has a miner
};

// More of a choice's answer. The spans are borrowed for the call.
struct Delta {
  std::uint32_t choice = 0;
  std::string_view text;
  std::span<const Step> steps;
  std::span<const Logprobs> logprobs;  // one per step; NaN where unknown
};

struct ChoiceResult {
  FinishReason finish = FinishReason::stop;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;  // of them, by the word of the miner
  std::uint32_t completion_tokens = 0;
  ledger::TaskOutcome outcome = ledger::TaskOutcome::unchecked;
  std::string receipt;
  Credits cost;
  std::vector<NodeId> miners;  // who committed to the answer, then who did to its beginning
};

struct TaskResult {
  TaskId task;
  SessionId session;
  std::vector<ChoiceResult> choices;
  Credits cost;
};

// How the client's side hears of its task, on the executor. Of on_done and on_failed exactly one is called,
// last, unless the task is cancelled: then nothing is called any more.
class TaskListener {
 public:
  virtual ~TaskListener() = default;
  // Once a second, as long as nothing of the task has been given to a miner.
  virtual void on_waiting(const Standing& /*standing*/) {}
  virtual void on_delta(const Delta& delta) = 0;
  // The whole embedding, where one was asked for; then on_finish. Empty: the miner signed that there is none.
  virtual void on_embedding(std::uint32_t /*choice*/, std::span<const float> /*elements*/) {}
  // Takes back what the client has not seen of a choice's answer; yields how many of its tokens it has seen.
  virtual std::size_t on_retract(std::uint32_t choice) = 0;
  virtual void on_finish(std::uint32_t choice,
                         FinishReason reason) = 0;  // the text is complete; the check follows
  // Before the task is paid for. What is returned is written in the transaction that pays, or nobody is paid.
  virtual std::optional<ledger::LineResult> on_settling(const TaskResult& /*result*/) { return {}; }
  virtual void on_done(const TaskResult& result) = 0;
  virtual void on_failed(const Error& error) = 0;
};

// Tokens that were taken back, as another miner could not reproduce them.
struct Dispute {
  NodeId supplier;
  NodeId objector;
  std::vector<Step> contested;  // the answer up to where it was taken back
};

// How often a miner had no room for a choice, and until when it is not asked again.
struct Pause {
  std::size_t refusals = 0;
  Clock::time_point until;
};

// One choice in progress.
struct Choice {
  enum class Phase : std::uint8_t { answering, checking, closed, cancelled };

  Choice(std::uint32_t at, GenerationRequest what, const ServedModel& model);

  Attempt* lead();  // whose steps the client sees; nullptr when the leader was lost
  bool all_finished() const;
  // Forgets what was delivered beyond the first `count` tokens.
  void shorten(std::size_t count, const ServedModel& model);
  bool in_progress() const { return phase == Phase::answering || phase == Phase::checking; }

  std::uint32_t index;
  Credits reserved;  // its part of the task's reservation
  GenerationRequest request;
  Digest request_digest;
  Phase phase = Phase::answering;

  // Answering.
  std::uint32_t copies = 1;  // attempts wanted at the same time
  std::vector<std::unique_ptr<Attempt>> attempts;
  AttemptId lead_id;
  std::vector<Step> delivered;  // what the client has been given, or holds back for text
  engine::TextStream text;
  std::set<NodeId> asked;          // all miners that were given it: none of them judges the answer
  std::set<NodeId> failed;         // miners that are not asked again
  std::optional<NodeId> supplier;  // whose steps were delivered last; it has vouched for those before them
  std::set<NodeId> objectors;      // miners that could not reproduce what was delivered
  std::vector<Dispute> disputes;   // of which the answer's end decides
  AttemptId hedged;                // beside which a second miner has been asked, as it was late
  std::optional<NodeId> rival;     // a second miner that did not come to the same
  // Signed by those who made the answer's beginning, as it came: of each attempt the latest, by rising count.
  std::vector<protocol::Commitment> segments;
  std::vector<protocol::Commitment> withdrawn;  // whose tokens were taken back
  std::vector<protocol::Commitment> misfits;    // of both, those that the complete answer does not bear out
  std::size_t started = 0;                      // attempts so far that found room
  PrefixKeys prefix;                            // of the prompt; once a miner was looked for
  std::map<NodeId, Pause> pauses;               // miners that had no room
  bool refused = false;                         // for want of room, when it was last given to one
  Clock::time_point waiting_since;

  // Checking and after.
  Clock::time_point check_deadline;
  std::optional<protocol::LinkId> checker;  // the validator at work
  std::set<NodeId> checkers_tried;
  std::optional<FinishReason> finish;
  Finding finding;
};

struct Task {
  TaskId id;
  TaskSpec spec;
  std::shared_ptr<TaskListener> listener;  // shared with the HTTP side, whichever ends first
  ledger::Price price;
  Credits reserved;
  std::vector<std::unique_ptr<Choice>> choices;
  bool settling = false;           // all choices are closed and the ledger has been asked to pay
  Clock::duration router_time{};   // spent in the router itself
  Clock::duration beside_model{};  // of it, while the miner computed the next token
};

}  // namespace cortensor::router
