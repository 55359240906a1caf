// A block of memory for weights or quantised inputs: aligned for vectors, in huge pages where the system grants them, with room
// behind the end for whole-vector reads.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/check.h"

namespace cortensor::compute {

class Buffer {
 public:
  explicit Buffer(std::size_t size) : size_(size) {
    constexpr std::size_t kHugePage = 2 << 20, kSlack = 128;
    const std::size_t alignment = size >= kHugePage ? kHugePage : 64;
    void* memory = nullptr;
    CORTENSOR_CHECK(::posix_memalign(&memory, alignment, size + kSlack) == 0);
    bytes_.reset(static_cast<std::uint8_t*>(memory));
    // Only advice. Not for the last part of a huge page, which would take the memory of a whole one.
    if (size >= kHugePage) ::madvise(memory, size / kHugePage * kHugePage, MADV_HUGEPAGE);
  }
  std::uint8_t* data() const { return bytes_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Release {
    void operator()(std::uint8_t* p) const { std::free(p); }
  };
  std::unique_ptr<std::uint8_t, Release> bytes_;
  std::size_t size_;
};

}  // namespace cortensor::compute
