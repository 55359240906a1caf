// A client of a router's HTTP API, as the chat and session commands and the local network use it. Blocking.
// Spec: docs/spec/http-api.md
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "http/client.h"

namespace cortensor::client {

struct ModelRow {
  std::string id, quantisation;
  std::int64_t context_length = 0, prompt_price = 0,
               completion_price = 0;  // micro-credits per million tokens
  std::int64_t miners = 0;            // attached now
};

struct NodeCount {
  int miners = 0;
  int validators = 0;
};

struct NewSession {
  std::string model;
  std::int64_t budget = 0;          // micro-credits
  std::string validation = "full";  // none, spot, full, quorum
  double probability = 0.1;         // of a check, at level spot
  std::uint32_t quorum_k = 2, quorum_n = 2;
  std::uint32_t redundancy = 1;                                        // miners per answer at other levels
  std::optional<std::int64_t> max_prompt_price, max_completion_price;  // micro-credits per million tokens
  // Of miners: what is expected of them when they are chosen, and which ones (node ids; empty: all).
  std::uint32_t min_tokens_per_second = 0, max_first_token_ms = 0;
  double min_reliability = 0;
  std::vector<std::string> miners;
  std::uint32_t expires_in_seconds = 3600;
  std::string label;
};

struct SessionRow {
  std::string id, model, state, validation, label;
  double probability = 0;
  std::uint32_t quorum_k = 0, quorum_n = 0, redundancy = 0;
  std::uint32_t min_tokens_per_second = 0, max_first_token_ms = 0;
  double min_reliability = 0;
  std::vector<std::string> miners;
  std::optional<std::int64_t> max_prompt_price, max_completion_price;  // micro-credits per million tokens
  std::int64_t budget = 0, hold = 0, reserved = 0, spent = 0, released = 0;  // micro-credits
  std::int64_t opened_at = 0, expires_at = 0;                                // Unix seconds
  std::optional<std::int64_t> ended_at;
  bool implicit = false;
};

struct Message {
  std::string role, content;
};

struct ChatRequest {
  std::string model;
  std::string session;  // empty: the router's implicit one
  std::vector<Message> messages;
  std::optional<double> temperature;
  std::optional<std::uint64_t> seed;
  std::uint32_t max_tokens = 0;  // 0: the router's default
  std::string grammar;           // what the answer has to follow; or
  std::string json_schema;       // a schema as JSON text
};

// What became of a request, and what it costs.
struct Outcome {
  std::string verdict;  // "VALID", "INVALID", "INCONCLUSIVE", "UNCHECKED"
  std::vector<std::string> receipts;
  std::int64_t cost = 0;  // micro-credits
  std::int64_t prompt_tokens = 0, completion_tokens = 0;
};

struct ChatOutcome : Outcome {
  std::string text, finish_reason;
};

// Where a request stands that waits for a miner.
struct QueuePlace {
  std::int64_t place = 0;
  std::optional<std::int64_t> eta_ms;
};

struct EmbeddingRequest {
  std::string model;
  std::string session;  // empty: the router's implicit one
  std::vector<std::string> input;
  std::uint32_t dimensions = 0;  // 0: all that the model has
};

struct EmbeddingOutcome : Outcome {
  std::vector<std::vector<float>> embeddings;  // one per input, with a receipt each
};

// How a chat goes on whose router was lost. Each router is tried at once; between two rounds there are
// pauses.
struct Reconnecting {
  std::chrono::milliseconds first_pause{100}, longest_pause{2'000};
  std::chrono::milliseconds patience{60'000};  // without anything new
};

struct NewBatch {
  std::string input_file, endpoint;
  std::string session;  // empty: the router's implicit ones
};

struct BatchRow {
  std::string id, status, endpoint;
  std::string output_file, error_file;  // empty: none, or not yet
  std::int64_t total = 0, completed = 0, failed = 0;
  std::int64_t created_at = 0, expires_at = 0;  // Unix seconds
  std::vector<std::string> faults;              // of its input

  bool ended() const;
};

class ApiClient {
 public:
  // routers: base URLs, at least one; the first one that answers is used.
  ApiClient(std::vector<std::string> routers, std::string api_key, http::ClientOptions options = {},
            Reconnecting reconnecting = {});

  Result<NodeCount> attached_nodes();
  Result<std::vector<ModelRow>> models();
  Result<std::int64_t> balance();  // micro-credits
  Result<SessionRow> create_session(const NewSession& wanted);
  Result<std::vector<SessionRow>> sessions();
  Result<SessionRow> session(const std::string& id);
  Result<SessionRow> close_session(const std::string& id);
  // Text goes to on_text as it arrives. When the router is lost on the way, the stream goes on at the next
  // one. corrupt: the stream ended without the proof or the end mark.
  Result<ChatOutcome> chat(const ChatRequest& request, const std::function<void(std::string_view)>& on_text,
                           const std::function<void(const QueuePlace&)>& on_waiting = {});
  // corrupt: not one vector and one receipt for each input, or no verdict.
  Result<EmbeddingOutcome> embed(const EmbeddingRequest& request);
  Result<std::string> receipt(const std::string& id);  // JSON, as `cortensor verify` reads it

  // The one in use.
  const std::string& router() const { return routers_[current_]; }

  // The id of a file with this content, for a batch to read.
  Result<std::string> upload(const std::string& name, const std::string& content);
  // Its content goes to on_chunk as it arrives.
  Status download(const std::string& file, const std::function<bool(std::string_view)>& on_chunk);
  Result<BatchRow> create_batch(const NewBatch& wanted);
  Result<BatchRow> batch(const std::string& id);
  Result<BatchRow> cancel_batch(const std::string& id);
  Result<std::vector<BatchRow>> batches();  // the newest 100

  // Ends the call in progress, and every later one. Thread-safe.
  void cancel();

 private:
  struct ChatStream;
  struct Loss;
  std::optional<Loss> follow(const std::string& body, ChatStream& stream);
  void find_router();
  void next_router() { current_ = (current_ + 1) % routers_.size(); }
  Status pause(std::chrono::milliseconds time);
  http::ClientRequest request(std::string method, const std::string& path, std::string body = {},
                              std::string type = "application/json") const;
  // The body of a 2xx response; another status becomes the API's own error message.
  Result<std::string> call(std::string method, const std::string& path, std::string body = {},
                           std::string type = "application/json");

  std::vector<std::string> routers_;
  std::size_t current_ = 0;
  bool found_ = false;  // it has answered
  const std::string api_key_;
  const Reconnecting reconnecting_;
  http::Client http_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool cancelled_ = false;  // guarded by mutex_
};

}  // namespace cortensor::client
