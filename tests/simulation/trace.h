// What happened in a simulation, line by line, and what must not have happened. Two runs of a seed are the
// same when their traces have the same hash.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/hex.h"
#include "base/runtime/executor.h"
#include "crypto/sha256.h"

namespace cortensor::simulation {

class Trace {
 public:
  // `print`: every line also goes to standard output.
  Trace(const Executor& timeline, bool print) : timeline_(timeline), print_(print) {}

  template <class... Words>
  void line(const Words&... words) {
    line_ = std::to_string(timeline_.now().time_since_epoch().count() / 1000);
    (append(words), ...);
    line_ += '\n';
    hash_.update(bytes_of(line_));
    ++lines_;
    if (print_) std::fputs(line_.c_str(), stdout);
  }

  // The first one counts; what follows from it is noise.
  template <class... Words>
  void violation(const Words&... words) {
    line("VIOLATION", words...);
    if (violation_.empty()) violation_ = line_.substr(0, line_.size() - 1);
  }

  bool failed() const { return !violation_.empty(); }
  const std::string& first_violation() const { return violation_; }
  std::size_t lines() const { return lines_; }
  std::string hash() { return to_hex(hash_.finish()); }  // once, at the end

 private:
  template <class Word>
  void append(const Word& word) {
    line_ += ' ';
    if constexpr (std::is_arithmetic_v<Word>)
      line_ += std::to_string(word);
    else if constexpr (requires { word.value; })
      line_.append(word.value, 0, 16);
    else
      line_ += word;
  }

  const Executor& timeline_;
  const bool print_;
  std::string line_;
  std::string violation_;
  std::size_t lines_ = 0;
  crypto::Sha256 hash_;
};

}  // namespace cortensor::simulation
