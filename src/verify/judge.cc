#include "verify/judge.h"

#include "arith/version.h"
#include "crypto/ed25519.h"
#include "engine/transcript.h"
#include "protocol/canonical.h"

namespace cortensor::verify {
namespace {

using protocol::Outcome;

// What speaks against replaying at all: then the steps shown say nothing about the miner.
Status comparable(const engine::Engine& engine, const protocol::Check& check) {
  const protocol::Commitment& commitment = check.commitment;
  if (!crypto::verify(commitment.miner, protocol::signed_bytes(commitment), commitment.signature))
    return fail(ErrorKind::corrupt, "the commitment is not signed by its miner");
  if (commitment.arithmetic_version != arith::kArithmeticVersion)
    return fail(ErrorKind::unsupported, "arithmetic version " +
                                            std::to_string(commitment.arithmetic_version) +
                                            ", this build has " + std::to_string(arith::kArithmeticVersion));
  if (check.model != engine.info().weights_digest || commitment.model != check.model)
    return fail(ErrorKind::unsupported, "another model than the one loaded here");
  if (commitment.request != protocol::request_digest(check.model, check.request))
    return fail(ErrorKind::corrupt, "the commitment speaks of another request");
  if (!commitment.finish) return fail(ErrorKind::unsupported, "the commitment is not to a whole answer");
  if (commitment.count != check.steps.size() || commitment.root != engine::transcript_root(check.steps))
    return fail(ErrorKind::corrupt, "the steps are not those committed to");
  return ok();
}

Judgement judgement_of(const Result<engine::ReplayResult>& result) {
  if (!result) return {Outcome::inconclusive, 0, result.error().message};
  if (result->valid()) return {Outcome::valid, 0, ""};
  return {Outcome::invalid, static_cast<std::uint32_t>(result->position),
          std::string(engine::to_string(result->finding)) + ": expected " + result->expected + ", found " +
              result->found};
}

}  // namespace

Result<std::optional<engine::SequenceHandle>> judge(engine::Engine& engine, const protocol::Check& check,
                                                    std::function<void(Judgement)> on_result) {
  const std::optional<engine::SequenceHandle> at_once;
  if (const Status status = comparable(engine, check); !status) {
    on_result({Outcome::inconclusive, 0, status.error().message});
    return at_once;
  }
  const auto handle = engine.submit_replay(
      check.request, check.steps, *check.commitment.finish,
      [on_result](Result<engine::ReplayResult> result) { on_result(judgement_of(result)); });
  if (handle) return std::optional(*handle);
  if (handle.error().kind == ErrorKind::overloaded) return handle.error();
  on_result({Outcome::inconclusive, 0, handle.error().message});
  return at_once;
}

}  // namespace cortensor::verify
