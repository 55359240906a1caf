#include "base/log.h"

#include <atomic>
#include <cstdio>
#include <ctime>
#include <mutex>

namespace cortensor::log {
namespace {

std::atomic<Level> threshold{Level::info};
std::mutex output_mutex;
std::string role_name;

// Quoted when it holds a space, a quote or a control character, so that one event stays one parsable line.
void append_value(std::string& line, std::string_view value) {
  const bool plain = !value.empty() && value.find_first_of(" \"=\n\r\t\\") == std::string_view::npos;
  if (plain) {
    line += value;
    return;
  }
  line += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') line += '\\';
    line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  line += '"';
}

void write(Level level, const char* name, std::string_view event, std::initializer_list<Field> fields) {
  if (level < threshold.load(std::memory_order_relaxed)) return;
  std::timespec now{};
  std::timespec_get(&now, TIME_UTC);
  std::tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char stamp[40];
  const std::size_t size = std::strftime(stamp, sizeof stamp, "%FT%T", &utc);
  std::snprintf(stamp + size, sizeof stamp - size, ".%03ldZ", now.tv_nsec / 1000000);

  std::string line = std::string(stamp) + " " + name + " ";
  const std::lock_guard lock(output_mutex);
  if (!role_name.empty()) line += role_name + " ";
  line += event;
  for (const Field& field : fields) {
    line += ' ';
    line += field.name;
    line += '=';
    append_value(line, field.value);
  }
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void set_level(Level level) {
  threshold = level;
}
void set_role(std::string role) {
  const std::lock_guard lock(output_mutex);
  role_name = std::move(role);
}

void debug(std::string_view event, std::initializer_list<Field> fields) {
  write(Level::debug, "debug", event, fields);
}
void info(std::string_view event, std::initializer_list<Field> fields) {
  write(Level::info, "info", event, fields);
}
void warning(std::string_view event, std::initializer_list<Field> fields) {
  write(Level::warning, "warning", event, fields);
}
void error(std::string_view event, std::initializer_list<Field> fields) {
  write(Level::error, "error", event, fields);
}

}  // namespace cortensor::log
