// CORTENSOR_CHECK(condition): an invariant of our own, kept in release builds. It never judges input.
#pragma once

namespace cortensor {

[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace cortensor

#define CORTENSOR_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::cortensor::check_failed(__FILE__, __LINE__, #condition))
