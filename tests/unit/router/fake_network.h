// A network without sockets: nodes that answer by a made-up model, exact as the real one is, honest or not.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../support/manual_executor.h"
#include "crypto/ed25519.h"
#include "engine/tokenizer.h"
#include "protocol/link.h"
#include "protocol/message.h"
#include "router/core/catalogue.h"
#include "toy_model.h"

namespace cortensor::router {

inline constexpr std::uint32_t kArithmetic = 7;

// What every honest node answers: `length` letters decided by seed and position, then an end of turn.
std::vector<Step> true_answer(const GenerationRequest& request, const ServedModel& model, std::size_t length);
// What every honest node computes: elements decided by the prompt's tokens.
std::vector<float> true_embedding(const GenerationRequest& request);
std::string text_of(const std::vector<Step>& steps, const ServedModel& model);
FinishReason true_finish(const GenerationRequest& request, const std::vector<Step>& steps);

class FakeLinks final : public protocol::RouterLinks {
 public:
  explicit FakeLinks(Executor& executor) : executor_(executor) {}
  void bind(protocol::RouterLinkEvents& events) { events_ = &events; }
  protocol::LinkId open() { return ++last_; }
  // The other end closes.
  void cut(protocol::LinkId link);

  void send(protocol::LinkId link, protocol::RouterMessage message) override;
  void close(protocol::LinkId link, const Error& why) override;

  std::map<protocol::LinkId, std::vector<protocol::RouterMessage>> sent;
  // Posted for every message, when set.
  std::function<void(protocol::LinkId link, const protocol::RouterMessage& message)> on_sent;
  std::map<protocol::LinkId, bool> closed;

 private:
  Executor& executor_;
  protocol::RouterLinkEvents* events_ = nullptr;
  protocol::LinkId last_ = 0;
};

class FakeNode {
 public:
  FakeNode(FakeLinks& links, protocol::RouterLinkEvents& router, const ServedModel& model,
           protocol::Role role, std::uint8_t seed);

  protocol::Hello hello(std::string token, std::uint32_t slots = 4, double speed = 100) const;
  void attach(const std::string& token, std::uint32_t slots = 4, double speed = 100);
  void say(protocol::NodeMessage message) { router_.on_message(link, std::move(message)); }

  // All messages of a kind so far.
  template <class T>
  std::vector<T> heard() const {
    std::vector<T> out;
    if (const auto found = links_.sent.find(link); found != links_.sent.end())
      for (const auto& message : found->second)
        if (const T* one = std::get_if<T>(&message)) out.push_back(*one);
    return out;
  }
  bool closed() const { return links_.closed.contains(link); }

  // Miner: the steps of its n-th assignment from `first` up to `end` (or the answer's end), and the last
  // word.
  std::vector<Step> answer(const protocol::Assign& assign) const;
  std::vector<float> embedding(const protocol::Assign& assign) const;
  void send_steps(const protocol::Assign& assign, std::size_t first, std::size_t end);
  protocol::Commitment commitment(const protocol::Assign& assign) const;
  // To the first `count` steps of the answer, which goes on.
  protocol::Commitment beginning(const protocol::Assign& assign, std::size_t count) const;
  // Steps from `first` up to `end`, and what it signs there.
  void send_segment(const protocol::Assign& assign, std::size_t first, std::size_t end) {
    send_steps(assign, first, end);
    say(protocol::Segment{beginning(assign, end)});
  }
  // As an honest engine does that is given tokens which are not its own: steps up to there, then a conflict.
  void object(const protocol::Assign& assign, std::size_t at) {
    send_steps(assign, 0, at);
    say(protocol::AttemptFailed{assign.attempt, ErrorKind::conflict, "a given token is another"});
  }
  void submit(const protocol::Assign& assign) { say(protocol::Submission{commitment(assign), cached}); }
  void run(const protocol::Assign& assign) {
    send_steps(assign, 0, SIZE_MAX);
    submit(assign);
  }

  // Validator: replays the latest check, truthfully.
  protocol::Verdict verdict(const protocol::Check& check) const;
  void judge() {
    const auto check = heard<protocol::Check>().back();
    say(protocol::CheckResult{check.commitment.attempt, verdict(check)});
  }

  std::uint32_t cached = 0;  // what its submissions say
  crypto::PrivateKey key;
  NodeId id;
  protocol::Role role;
  protocol::LinkId link = 0;
  std::size_t length = 12;             // letters of every answer
  std::optional<std::size_t> lies_at;  // another token there, beside the true digest
  std::optional<std::size_t> wrong_digest_at;
  bool alters_embeddings = false;      // and signs what it made of them
  std::optional<std::size_t> cuts_at;  // ends there for no reason

 private:
  FakeLinks& links_;
  protocol::RouterLinkEvents& router_;
  const ServedModel& model_;
};

}  // namespace cortensor::router
