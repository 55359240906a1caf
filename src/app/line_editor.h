// A line typed at a terminal: editing keys, pasted text with its line breaks, and a history of this
// conversation. The history is in memory only, because prompts are private.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "app/ctrl_c.h"

namespace cortensor::app {

// Standard input and standard output are both a terminal.
bool can_edit_lines();

class LineEditor {
 public:
  // Precondition: can_edit_lines(). ctrl_c outlives the editor.
  explicit LineEditor(CtrlC& ctrl_c);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // UTF-8 without the line feed at its end; none after Ctrl-D on an empty line, Ctrl-C, or the terminal's
  // end.
  std::optional<std::string> read();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cortensor::app
