#include "engine/page_keys.h"

#include "base/bytes.h"
#include "crypto/sha256.h"

namespace cortensor::engine {

void PageKeys::extend(std::span<const TokenId> tokens) {
  for (std::size_t end = (keys_.size() + 1) * kPagePositions; end <= tokens.size(); end += kPagePositions) {
    ByteWriter bytes;
    bytes.raw(keys_.empty() ? salt_ : keys_.back());
    for (const TokenId token : tokens.subspan(end - kPagePositions, kPagePositions)) bytes.number(token);
    keys_.push_back(crypto::sha256(bytes.bytes()));
  }
}

}  // namespace cortensor::engine
