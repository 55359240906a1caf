// What a node says about a model it has loaded: which one it is, and how fast it runs here.
#pragma once

#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "protocol/message.h"

namespace cortensor::verify {

// `id` is the name clients use; everything else is read off the engine.
protocol::ModelManifest manifest_of(const engine::ModelInfo& info, std::string id);

// Runs a short prompt and a short answer, alone, then 2, 4, 8, … at a time as far as the engine has room, and
// times them: three seconds in all, or a prompt and three tokens where that takes longer. Sizes that there
// was no time for are left out.
Result<protocol::ModelOffer> measure_offer(engine::Engine& engine, std::string id);

}  // namespace cortensor::verify
