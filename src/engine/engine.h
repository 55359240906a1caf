// The engine: one model, loaded once, that continues many sequences at a time and replays finished ones.
//
// All of its work happens on one engine thread (and the compute pool below it): every forward pass mixes the
// rows of all sequences that are ready, prompts in chunks and answers one token at a time. Because a row's
// bits depend on its own sequence alone, neither the company nor the chunking changes an answer.
//
// Every method may be called from any thread. Callbacks run on the engine thread: they must be quick and must
// not call replay() or destroy the engine. After on_finish or on_error nothing more is called for that
// sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/generation.h"
#include "base/result.h"

namespace cortensor::engine {

class ChatTemplate;
class Tokenizer;

struct EngineOptions {
  std::string isa;                  // of the kernels; empty: CORTENSOR_ISA, or else the best there is
  std::size_t threads = 0;          // the engine thread included; 0: one per processor
  std::size_t max_sequences = 8;    // running at a time, replays included; more are refused as overloaded
  std::size_t kv_tokens = 0;        // positions that the cache holds in all; 0: max_sequences full contexts
  std::size_t prefill_chunk = 256;  // rows of one forward pass at most; >= 1
  std::uint64_t kv_bytes = 0;       // memory of the cache at most; 0: a quarter of this machine's
};

struct ModelInfo {
  std::string name;          // general.name, or the file's name without its extension
  std::string architecture;  // "llama"
  std::string quantisation;  // "f32", "f16", "bf16", "q8_0", "q4_0": the type of the matrices
  std::size_t context_length = 0;
  std::size_t vocab_size = 0;
  std::size_t dim = 0;
  std::size_t layers = 0;
  std::uint64_t parameters = 0;
  std::uint64_t file_bytes = 0;
  Digest weights_digest{};    // SHA-256 of the whole file
  Digest tokenizer_digest{};  // of the vocabulary and its rules
};

// A sequence known to the engine; never reused.
struct SequenceHandle {
  std::uint64_t id = 0;
  friend bool operator==(const SequenceHandle&, const SequenceHandle&) = default;
};

struct Submission {
  GenerationRequest request;
  std::vector<TokenId>
      given;  // the answer's first tokens, generated elsewhere: checked, digested and continued
  // Hand log-probabilities to on_step: the chosen token's and those of this many tokens, kMaxTopLogprobs at
  // most.
  std::optional<std::uint32_t> logprobs = {};
  // Whose prompt it is. The pages that it fills are found again by later submissions with the same salt and
  // the same beginning, which need not compute them; none: it neither takes nor leaves any. Changes no bit of
  // an answer.
  std::optional<Bytes32> cache_salt = {};
};

struct Callbacks {
  // First of all, with the number of the prompt's tokens that need not be computed, as they are in the cache.
  std::function<void(std::size_t cached_tokens)> on_start = {};
  // One call per transcript position from 0 on, the given ones included (position < given.size()). logprobs:
  // null when not asked for; borrowed.
  std::function<void(std::size_t position, const Step& step, const Logprobs* logprobs)> on_step;
  // Of a request for an embedding: its elements, before the one step, whose digest is theirs. Borrowed.
  std::function<void(std::span<const float> elements)> on_embedding;
  std::function<void(FinishReason reason, const Digest& root)> on_finish;
  // conflict: a given token is not the one this request leads to, or goes on past the answer's end;
  // cancelled: by cancel() or shutdown; unsupported: the grammar leaves no token, or too many ways to go on;
  // internal: a non-finite value arose inside the model, or an embedding without a direction.
  std::function<void(const Error& error)> on_error;
};

// What a replay found at the first position that is wrong.
enum class ReplayFinding : std::uint8_t {
  valid,
  token_differs,   // another token should have been chosen
  digest_differs,  // the right token from a state that is not the model's
  past_end,        // a step after the answer's end
  no_end,          // the answer stops although nothing ended it; position: the first missing step
  wrong_reason,    // the answer ends here, but for the other reason
};

std::string_view to_string(ReplayFinding finding);

struct ReplayResult {
  ReplayFinding finding = ReplayFinding::valid;
  std::size_t position =
      0;  // transcript position of the finding (0 = first generated token); valid: the step count
  std::string
      expected;       // what an honest transcript has there, and what was claimed: token ids, digests in hex,
  std::string found;  // or words; empty when valid
  bool valid() const { return finding == ReplayFinding::valid; }
};

// What is going on now, for admission and metrics.
struct EngineLoad {
  std::size_t sequences = 0;  // running now
  std::size_t free_sequences = 0;
  std::size_t free_kv_tokens = 0;
  std::size_t kept_kv_tokens = 0;  // of them, those that still hold what later prompts may begin with
  std::uint64_t prompt_rows = 0;   // since load: rows that only fill the cache or recheck known tokens
  std::uint64_t answer_rows = 0;   // since load: rows that chose a new token
  std::uint64_t cached_rows = 0;   // since load: rows of prompts that were in the cache already
  std::uint64_t passes = 0;        // since load: forward passes
};

class Engine {
 public:
  using Progress = std::function<void(double fraction, std::string_view doing)>;

  // Maps the file, checks every tensor, digests it and starts the engine thread.
  static Result<std::unique_ptr<Engine>> load(const std::string& path, const EngineOptions& options,
                                              const Progress& progress = {});
  virtual ~Engine() = default;

  virtual const ModelInfo& info() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;
  virtual const ChatTemplate& chat_template() const = 0;
  virtual std::string_view isa_name() const = 0;
  virtual std::size_t threads() const = 0;
  virtual EngineLoad load_now() const = 0;

  // Starts a sequence. invalid_input: the request is malformed or does not fit the context; overloaded: no
  // free sequence or not enough cache for prompt and max_tokens (try later).
  virtual Result<SequenceHandle> submit(Submission submission, Callbacks callbacks) = 0;

  // Ends a sequence or a replay within one forward pass, with on_error(cancelled). Unknown and finished
  // handles are ignored.
  virtual void cancel(SequenceHandle handle) = 0;

  // Recomputes an answer in one prefill and compares every position; stops at the first difference. An error
  // means that no finding was reached (overloaded, cancelled, malformed request).
  virtual Result<SequenceHandle> submit_replay(GenerationRequest request, std::vector<Step> claimed,
                                               FinishReason finish,
                                               std::function<void(Result<ReplayResult>)> on_result) = 0;

  // The same, waiting for the result. Not from a callback.
  virtual Result<ReplayResult> replay(const GenerationRequest& request, const std::vector<Step>& claimed,
                                      FinishReason finish) = 0;
};

// Refuses what no model could run: an empty prompt, tokens outside the vocabulary, a prompt that fills the
// context, sampling values out of range, too many or too long stop strings, a text that is no grammar, an
// embedding with parameters of answers. Any node can ask this before money is held.
Status check_request(const GenerationRequest& request, std::size_t vocab_size, std::size_t context_length);

}  // namespace cortensor::engine
