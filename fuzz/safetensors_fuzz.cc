// Any bytes as a safetensors file: opened or refused, and what is opened lies inside them.
#include <cstdlib>

#include "convert/safetensors.h"

using namespace cortensor;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = convert::SafetensorsFile::parse({data, size});
  if (!file) return 0;
  std::size_t covered = 0;
  for (const auto& [name, tensor] : file->tensors()) {
    covered += tensor.data.size();
    if (tensor.data.empty()) continue;
    if (tensor.data.data() < data || tensor.data.data() + tensor.data.size() > data + size) std::abort();
  }
  if (covered > size) std::abort();
  return 0;
}
