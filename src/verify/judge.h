// Judging a miner's answer by recomputing it: what a validator signs and what `cortensor verify` reports.
#pragma once

#include <functional>

#include "engine/engine.h"
#include "protocol/message.h"

namespace cortensor::verify {

// A verdict without a judge's name and signature.
struct Judgement {
  protocol::Outcome outcome = protocol::Outcome::inconclusive;
  std::uint32_t first_wrong = 0;  // index into the transcript
  std::string reason;             // empty when valid; never text of prompt or answer
};

// Replays the transcript with the engine and compares every position. `on_result` is called exactly once,
// from the engine's thread or at once. A check that can't be made (another model, steps that are not those
// committed to, more than the engine's memory) is inconclusive. The handle cancels; it is none when the
// result was given at once. overloaded: the engine has no room now; on_result is not called.
Result<std::optional<engine::SequenceHandle>> judge(engine::Engine& engine, const protocol::Check& check,
                                                    std::function<void(Judgement)> on_result);

}  // namespace cortensor::verify
