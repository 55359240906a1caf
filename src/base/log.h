// Named events with fields, one line of key=value on standard error. Never prompts, answers or secrets: ids
// only. Layers below the roles do not log; they return and count.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace cortensor::log {

enum class Level { debug, info, warning, error, off };

struct Field {
  std::string_view name;
  std::string value;
  Field(std::string_view n, std::string v) : name(n), value(std::move(v)) {}
  Field(std::string_view n, std::string_view v) : name(n), value(v) {}
  Field(std::string_view n, const char* v) : name(n), value(v) {}
  template <class Number>
  requires std::is_arithmetic_v<Number> Field(std::string_view n, Number v)
      : name(n), value(std::to_string(v)) {}
};

// Events below the level are dropped. Thread-safe, as are all functions here.
void set_level(Level level);
// The first field of every line, for example "router" or "miner".
void set_role(std::string role);

void debug(std::string_view event, std::initializer_list<Field> fields = {});
void info(std::string_view event, std::initializer_list<Field> fields = {});
void warning(std::string_view event, std::initializer_list<Field> fields = {});
void error(std::string_view event, std::initializer_list<Field> fields = {});

}  // namespace cortensor::log
