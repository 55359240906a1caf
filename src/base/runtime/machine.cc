#include "base/runtime/machine.h"

#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace cortensor {

namespace {

// Calls look(folder) for this process's control group of `controller` and those around it, of version 2 and
// version 1.
template <class Look>
void for_each_group(const std::string& controller, const Look& look) {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // ID:CONTROLLERS:/PATH, of version 2 without any
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && (',' + controllers + ',').find(',' + controller + ',') == std::string::npos)
      continue;
    const std::string mounted = "/sys/fs/cgroup/" + controllers;
    for (std::string path = line.substr(second + 1); path.starts_with("/"); path.erase(path.rfind('/')))
      look(mounted + path + "/");
    look(mounted + "/");
  }
}

// The first number of a setting, if it begins with one: the others are "max" and -1.
std::optional<std::uint64_t> number_in(const std::string& file) {
  std::ifstream in(file);
  std::int64_t number = 0;
  if (!(in >> number) || number < 0) return std::nullopt;
  return static_cast<std::uint64_t>(number);
}

// Behind the names in a file of names and numbers, summed.
std::uint64_t sum_of(const std::string& file, std::initializer_list<std::string_view> names) {
  std::ifstream in(file);
  std::uint64_t sum = 0;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t number = 0;
    if (words >> name >> number && std::find(names.begin(), names.end(), name) != names.end()) sum += number;
  }
  return sum;
}

}  // namespace

std::size_t usable_processors() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::size_t processors = std::max(1u, std::thread::hardware_concurrency());
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0)
    processors = static_cast<std::size_t>(std::max(1, CPU_COUNT(&allowed)));
  const auto pays_for = [&](std::uint64_t quota, std::uint64_t period) {  // microseconds
    if (period > 0) processors = std::min<std::size_t>(processors, quota / period);
  };
  for_each_group("cpu", [&](const std::string& group) {
    std::ifstream file(group + "cpu.max");
    std::uint64_t quota = 0, period = 0;
    if (file >> quota >> period) pays_for(quota, period);
    if (const auto v1 = number_in(group + "cpu.cfs_quota_us"))
      pays_for(*v1, number_in(group + "cpu.cfs_period_us").value_or(0));
  });
  return std::max<std::size_t>(1, processors);
}

std::uint64_t usable_memory() {
  auto bytes = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
               static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  for_each_group("memory", [&](const std::string& group) {
    for (const char* setting : {"memory.max", "memory.limit_in_bytes"})
      if (const auto limit = number_in(group + setting)) bytes = std::min(bytes, *limit);
  });
  return bytes;
}

std::uint64_t available_memory() {
  std::uint64_t bytes = usable_memory();
  if (const std::uint64_t free = sum_of("/proc/meminfo", {"MemAvailable:"}) * 1024; free > 0)
    bytes = std::min(bytes, free);
  for_each_group("memory", [&](const std::string& group) {
    for (const auto& [limit, usage] : {std::pair{"memory.max", "memory.current"},
                                       std::pair{"memory.limit_in_bytes", "memory.usage_in_bytes"}}) {
      const auto most = number_in(group + limit), used = number_in(group + usage);
      if (!most || !used) continue;
      const std::uint64_t of_files = sum_of(group + "memory.stat", {"active_file", "inactive_file"});
      bytes = std::min(bytes, *most - std::min(*most, *used - std::min(*used, of_files)));
    }
  });
  return bytes;
}

void return_free_memory() {
  ::malloc_trim(0);
}

}  // namespace cortensor
