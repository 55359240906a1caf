#include "router/api/batch_input.h"

#include "router/api/batch_line.h"

namespace cortensor::router {

bool BatchInput::feed(const ledger::FilePiece& piece) {
  const std::string_view text = piece.text;
  for (std::size_t start = 0; start < text.size() && faults_.size() < kMaxFaults;) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = text.substr(start, end - start);
    if (line.find_first_not_of(" \t\r") != line.npos) {
      if (lines_.size() == kMaxBatchLines) {
        fault("too_many_lines", "expected at most " + std::to_string(kMaxBatchLines) + " requests");
        return false;
      }
      check(line, {read_,
                   piece.number,
                   static_cast<std::uint32_t>(start),
                   static_cast<std::uint32_t>(line.size()),
                   {}});
    }
    ++read_;
    start = end + 1;
  }
  return faults_.size() < kMaxFaults;
}

void BatchInput::end() {
  if (lines_.empty() && faults_.empty()) fault("empty_file", "the file has no request in it");
}

void BatchInput::check(std::string_view text, ledger::LinePlace place) {
  const std::uint32_t line = place.line;
  const auto parsed = parse_line(text, endpoint_);
  if (!parsed) {
    const ApiError& error = parsed.error();
    return fault(error.param.empty() ? "invalid_json_line" : "invalid_request", error.error.message, line,
                 error.param);
  }
  if (!ids_.insert(parsed->custom_id).second)
    return fault("duplicate_custom_id", "custom_id: an earlier line has the same", line, "custom_id");
  if (model_.empty()) model_ = parsed->model();
  if (parsed->model() != model_)
    return fault("mismatched_model", "model: expected " + model_ + " as in the first line", line,
                 "body.model");
  if (catalogue_.find(model_) == nullptr)
    return fault("model_not_found", "model: there is no model '" + model_ + "' here", line, "body.model");
  place.custom_id = parsed->custom_id;
  lines_.push_back(std::move(place));
}

void BatchInput::fault(std::string_view code, std::string message, std::optional<std::uint32_t> line,
                       const std::string& param) {
  faults_.push_back({{"code", code},
                     {"line", line ? Json(*line + 1) : Json(nullptr)},
                     {"message", line ? "line " + std::to_string(*line + 1) + ": " + message : message},
                     {"param", param.empty() ? Json(nullptr) : Json(param)}});
}

}  // namespace cortensor::router
