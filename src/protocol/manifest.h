// What identifies a model: two nodes offer the same model exactly when their manifests' digests agree.
#pragma once

#include <cstdint>
#include <string>

#include "base/generation.h"

namespace cortensor::protocol {

struct ModelManifest {
  std::string id;            // what clients ask for, for example "llama-tales-26m:q8_0"; 1 to 128 characters
  std::string architecture;  // "llama"
  std::string quantisation;  // "f16", "q8_0", …
  Digest weights{};          // SHA-256 of the whole model file
  Digest tokenizer{};        // SHA-256 over vocabulary, merges and chat template
  std::uint32_t context_length = 0;
  std::uint32_t vocabulary = 0;
  friend bool operator==(const ModelManifest&, const ModelManifest&) = default;
};

}  // namespace cortensor::protocol
