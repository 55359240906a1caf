// tokenizer.json and tokenizer_config.json of a Hugging Face folder, as a GGUF file's tokenizer metadata.
// Only Llama 3's kind: byte-level BPE with its pre-split.
#pragma once

#include <string>

#include "base/result.h"
#include "convert/hf_config.h"
#include "engine/gguf_writer.h"

namespace cortensor::convert {

Status add_hf_tokenizer(const std::string& folder, const HfConfig& config, engine::GgufWriter& writer);

}  // namespace cortensor::convert
