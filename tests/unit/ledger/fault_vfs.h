// A SQLite VFS over the system's own that counts what changes the disk (write, truncate, sync, delete) and
// makes the n-th of them go wrong. It never really syncs: what these tests lose is a process, not the power.
#pragma once

#include <iosfwd>

namespace cortensor::ledger::testing {

inline constexpr const char* kFaultVfs = "fault";

enum class Fault {
  none,
  disk_full_once,     // half of the bytes are written, then "full"; the next call works again
  disk_full_forever,  // the same, and nothing works after it
  io_error_once,
  io_error_forever,
  kill,  // half of the bytes are written, then SIGKILL
};

void PrintTo(Fault fault, std::ostream* out);  // for the names of tests

// Registers the VFS when called first. The n-th changing call from now on (n >= 1) fails.
void arm(Fault fault, int n);
void disarm();
// Whether the armed fault has happened.
bool fault_happened();

}  // namespace cortensor::ledger::testing
