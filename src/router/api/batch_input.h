// A batch's input, checked line by line before anything is computed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "ledger/batch_store.h"
#include "router/api/body_reader.h"
#include "router/core/catalogue.h"

namespace cortensor::router {

inline constexpr std::size_t kMaxBatchLines = 50'000;
inline constexpr std::size_t kMaxFaults = 100;  // that are told; one is enough to fail the batch

class BatchInput {
 public:
  // The catalogue outlives it, and is only read.
  BatchInput(std::string endpoint, const Catalogue& catalogue)
      : endpoint_(std::move(endpoint)), catalogue_(catalogue) {}

  // The file's pieces in order, each of whole lines. False: enough is known.
  bool feed(const ledger::FilePiece& piece);
  // After the last piece.
  void end();

  bool good() const { return faults_.empty(); }
  std::string faults() const { return Json(faults_).dump(-1, ' ', false, Json::error_handler_t::replace); }
  const std::vector<ledger::LinePlace>& lines() const { return lines_; }

 private:
  void check(std::string_view line, ledger::LinePlace place);
  // line: counted from 0; none: of the file as a whole.
  void fault(std::string_view code, std::string message, std::optional<std::uint32_t> line = {},
             const std::string& param = {});

  const std::string endpoint_;
  const Catalogue& catalogue_;
  std::uint32_t read_ = 0;  // lines, empty ones included
  std::string model_;       // of the first line
  std::unordered_set<std::string> ids_;
  std::vector<ledger::LinePlace> lines_;
  std::vector<Json> faults_;
};

}  // namespace cortensor::router
