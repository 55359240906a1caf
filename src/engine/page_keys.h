// By what a full page of the cache is found again: a digest of a salt and of all tokens up to the page's end,
// from which its bits follow. Sequences with different salts share nothing: how soon an answer begins tells
// whether its prompt is in the cache, and that is nobody's business who cannot have put it there.
#pragma once

#include <span>
#include <vector>

#include "base/generation.h"
#include "engine/kv_pages.h"

namespace cortensor::engine {

class PageKeys {
 public:
  explicit PageKeys(const Bytes32& salt) : salt_(salt) {}

  // Takes a sequence's first tokens; later calls take the same ones and more.
  void extend(std::span<const TokenId> tokens);
  // Of the full pages that the tokens fill.
  std::span<const PageKey> keys() const { return keys_; }

 private:
  Bytes32 salt_;
  std::vector<PageKey> keys_;  // each from the one before, the first one from the salt
};

}  // namespace cortensor::engine
