// The way of an answer that is made again to the point up to which its client has it already.
#pragma once

#include <optional>

#include "engine/text_stream.h"
#include "router/api/event_id.h"
#include "router/core/task.h"

namespace cortensor::router {

class CatchUp {
 public:
  CatchUp(const Progress& point, const GenerationRequest& request, const ServedModel& model);

  bool behind() const { return at_.tokens < point_.tokens; }
  // What lies behind the point; it borrows from the delta. None: the tokens before it are not those that the
  // client has.
  std::optional<Delta> pass(const Delta& delta);
  // The answer begins anew.
  void restart();

 private:
  const Progress point_;
  const engine::TextStream beginning_;
  engine::TextStream text_;
  Progress at_;
};

}  // namespace cortensor::router
