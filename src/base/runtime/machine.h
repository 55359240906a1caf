// What this process may use of the machine: no more than its affinity mask and its control groups, of either
// version, allow.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cortensor {

// Processors that it may keep busy: those of its affinity mask, and no more than the quotas pay for; at least
// 1.
std::size_t usable_processors();

// Bytes of memory, were it alone.
std::uint64_t usable_memory();

// Bytes of it that can be had now: without what others hold, with what the system keeps of files.
std::uint64_t available_memory();

// Gives back to the system what of the heap is free. For the end of work that took much and left holes.
void return_free_memory();

}  // namespace cortensor
