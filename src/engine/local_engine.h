// The engine on this machine: a queue of arrivals, one thread that runs forward passes, and the memory they
// share.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "compute/backend.h"
#include "engine/chat_template.h"
#include "engine/chooser.h"
#include "engine/engine.h"
#include "engine/forward.h"
#include "engine/kv_pages.h"
#include "engine/page_keys.h"
#include "engine/sequence.h"
#include "engine/tokenizer.h"

namespace cortensor::engine {

class LocalEngine final : public Engine {
 public:
  // What load() has put together.
  struct Parts {
    ModelInfo info;
    std::unique_ptr<Tokenizer> tokenizer;
    std::unique_ptr<ChatTemplate> chat_template;
    std::unique_ptr<compute::Backend> backend;
    std::unique_ptr<Forward> forward;
    std::size_t pages = 0;
    std::size_t max_sequences = 0;
    std::size_t max_rows = 0;
  };

  explicit LocalEngine(Parts parts);
  ~LocalEngine() override;

  const ModelInfo& info() const override { return parts_.info; }
  const Tokenizer& tokenizer() const override { return *parts_.tokenizer; }
  const ChatTemplate& chat_template() const override { return *parts_.chat_template; }
  std::string_view isa_name() const override { return isa_name_; }
  std::size_t threads() const override { return parts_.backend->threads(); }
  EngineLoad load_now() const override;

  Result<SequenceHandle> submit(Submission submission, Callbacks callbacks) override;
  void cancel(SequenceHandle handle) override;
  Result<SequenceHandle> submit_replay(GenerationRequest request, std::vector<Step> claimed,
                                       FinishReason finish,
                                       std::function<void(Result<ReplayResult>)> on_result) override;
  Result<ReplayResult> replay(const GenerationRequest& request, const std::vector<Step>& claimed,
                              FinishReason finish) override;

 private:
  struct Running {
    Sequence sequence;
    Callbacks callbacks;                                  // of a generation
    std::function<void(Result<ReplayResult>)> on_result;  // of a replay
    std::optional<PageKeys> keys;                         // none: it shares no pages
    std::size_t shared = 0;                               // of its pages, those that others may have found
    std::size_t cached_tokens = 0;                        // that it need not compute
    bool over = false;                                    // its last callback has been called
  };

  // Any thread. `rows`: cache positions to reserve.
  Result<SequenceHandle> admit(std::size_t rows, const std::function<Running(SequenceHandle)>& make);
  ModelLimits limits() const { return {parts_.info.vocab_size, parts_.info.context_length}; }
  Status check(const GenerationRequest& request) const;
  Result<AnswerRules> answer_rules(const GenerationRequest& request);

  // Engine thread.
  void work();
  bool wait_for_work(std::vector<SequenceHandle>& cancelled);
  void step();
  void share(Running& running);
  void deliver(std::span<Running* const> members, std::span<const ForwardResult> results);
  void embed(Running& running, const ForwardResult& result);
  void take(Running& running, const Choice& choice);
  void abandon(Running& running, const Error& error);
  void release(Running& running);

  Parts parts_;
  std::string isa_name_;
  Chooser chooser_;
  std::once_flag trie_made_;
  std::shared_ptr<const TokenTrie> trie_;          // made for the first grammar
  std::vector<std::unique_ptr<Running>> running_;  // engine thread only

  mutable std::mutex mutex_;  // guards everything below
  std::condition_variable wake_;
  PagePool pool_;
  std::vector<std::unique_ptr<Running>> arrivals_;
  std::vector<SequenceHandle> cancellations_;
  std::size_t admitted_ = 0;  // arrived or running
  std::uint64_t next_id_ = 1;
  EngineLoad counters_;
  bool stopping_ = false;

  std::jthread thread_;  // last, so that it ends before the rest goes
};

}  // namespace cortensor::engine
