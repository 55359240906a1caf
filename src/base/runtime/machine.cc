#include "base/runtime/machine.h"

#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

namespace cortensor {

namespace {

// Calls look(file) for the setting `name` of this process's control group and of those around it.
template <class Look>
void for_each_group(const std::string& name, const Look& look) {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::/")) continue;
    for (std::string path = line.substr(3); !path.empty(); path.erase(path.rfind('/')))
      look(std::ifstream("/sys/fs/cgroup" + path + "/" + name));
    look(std::ifstream("/sys/fs/cgroup/" + name));
  }
}

}  // namespace

std::size_t usable_processors() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::size_t processors = std::max(1u, std::thread::hardware_concurrency());
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0)
    processors = static_cast<std::size_t>(std::max(1, CPU_COUNT(&allowed)));
  for_each_group("cpu.max", [&](std::ifstream file) {  // "QUOTA PERIOD" in microseconds, or "max PERIOD"
    std::size_t quota = 0, period = 0;
    if (file >> quota >> period && period > 0) processors = std::min(processors, quota / period);
  });
  return std::max<std::size_t>(1, processors);
}

std::uint64_t usable_memory() {
  auto bytes = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
               static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  for_each_group("memory.max", [&](std::ifstream file) {  // bytes, or "max"
    std::uint64_t limit = 0;
    if (file >> limit) bytes = std::min(bytes, limit);
  });
  return bytes;
}

void return_free_memory() {
  ::malloc_trim(0);
}

}  // namespace cortensor
