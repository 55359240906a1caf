// What a router needs of a model file: its identity, its tokenizer and its template. The weights are only
// digested.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "router/core/catalogue.h"

namespace cortensor::router {

// `id` is what clients ask for. Fails as the engine would, on any file that a miner could not run.
Result<std::unique_ptr<ServedModel>> load_served_model(const std::string& id, const std::string& path);

}  // namespace cortensor::router
