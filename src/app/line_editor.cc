#include "app/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cwchar>
#include <string_view>
#include <utility>

#include "app/terminal.h"
#include "base/check.h"
#include "engine/unicode.h"

namespace cortensor::app {
namespace {

constexpr int kHistoryLines = 1000;
constexpr wchar_t kReplacement = 0xfffd;

// A terminal in this mode says where pasted text begins and ends, so that its line breaks are not taken for
// Enter.
constexpr std::string_view kPasteOn = "\x1b[?2004h", kPasteOff = "\x1b[?2004l";
constexpr const char* kPasteBegin = "\\e[200~";
constexpr std::wstring_view kPasteEnd = L"\x1b[201~";

// Beyond the library's own: what terminals send for Home, End, Delete and Ctrl with an arrow, and two habits
// of shells.
constexpr const char* kKeys[][2] = {{"\\e[H", "ed-move-to-beg"},
                                    {"\\eOH", "ed-move-to-beg"},
                                    {"\\e[1~", "ed-move-to-beg"},
                                    {"\\e[F", "ed-move-to-end"},
                                    {"\\eOF", "ed-move-to-end"},
                                    {"\\e[4~", "ed-move-to-end"},
                                    {"\\e[3~", "ed-delete-next-char"},
                                    {"\\e[1;5C", "em-next-word"},
                                    {"\\e[1;5D", "ed-prev-word"},
                                    {"^U", "vi-kill-line-prev"},
                                    {"^W", "ed-delete-prev-word"},
                                    {"^R", "em-inc-search-prev"},
                                    {kPasteBegin, "paste"}};

void send(std::string_view sequence) {
  std::fwrite(sequence.data(), 1, sequence.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

bool can_edit_lines() {
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
}

struct LineEditor::State {
  explicit State(CtrlC& interrupt) : ctrl_c(interrupt) {}

  // Waits for a byte or for Ctrl-C; as read() otherwise.
  ssize_t next_byte(char& byte) {
    if (put_back) {
      byte = *std::exchange(put_back, std::nullopt);
      return 1;
    }
    for (;;) {
      pollfd events[] = {{STDIN_FILENO, POLLIN, 0}, {ctrl_c.fd(), POLLIN, 0}};
      if (::poll(events, 2, -1) < 0) continue;
      if (events[1].revents != 0) return -1;
      const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
      if (got >= 0 || errno != EINTR) return got;
    }
  }

  // One character of UTF-8, whatever the locale says; what is not UTF-8 becomes U+FFFD. The byte that breaks
  // a sequence is no part of it: it may be Enter.
  int next_character(wchar_t& out) {
    std::string bytes;
    engine::Utf8Sequence sequence;
    do {
      char byte = 0;
      if (const ssize_t got = next_byte(byte); got != 1) return static_cast<int>(got);
      bytes += byte;
      sequence = engine::utf8_at(bytes, 0);
    } while (sequence.kind == engine::Utf8Kind::incomplete);
    if (sequence.length < bytes.size()) put_back = bytes.back();
    out = sequence.kind == engine::Utf8Kind::whole ? static_cast<wchar_t>(sequence.code) : kReplacement;
    return 1;
  }

  // Everything up to the end of the paste goes into the line, line breaks included.
  unsigned char paste() {
    std::wstring text;
    wchar_t character = 0;
    while (!text.ends_with(kPasteEnd)) {
      if (next_character(character) != 1) return CC_EOF;
      text += character;
    }
    text.resize(text.size() - kPasteEnd.size());
    std::wstring kept;
    wchar_t before = 0;
    for (const wchar_t c : text) {
      const bool second_half = c == L'\n' && before == L'\r';
      before = c;
      if (second_half) continue;
      if (c == L'\r' || c == L'\n')
        kept += L'\n';
      else if (c == L'\t')
        kept += L' ';
      else if (c >= 0x20 && !(c >= 0x7f && c < 0xa0))
        kept += c;
    }
    return !kept.empty() && el_winsertstr(editor, kept.c_str()) != 0 ? CC_ERROR : CC_REFRESH;
  }

  CtrlC& ctrl_c;
  std::optional<char> put_back;
  EditLine* editor = nullptr;
  History* history = nullptr;
};

LineEditor::LineEditor(CtrlC& ctrl_c) : state_(std::make_unique<State>(ctrl_c)) {
  // The library shows characters by the locale's table.
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  EditLine* editor = el_init("cortensor", stdin, stdout, stderr);
  CORTENSOR_CHECK(editor != nullptr);
  state_->editor = editor;
  el_set(editor, EL_CLIENTDATA, state_.get());
  el_set(
      editor, EL_PROMPT, +[](EditLine*) -> char* {
        static char prompt[] = "> ";
        return prompt;
      });
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_SIGNAL, 0);
  el_set(editor, EL_SETTY, "-d", "-icrnl", "-inlcr", nullptr);  // the halves of a pasted CR LF stay different
  el_wset(
      editor, EL_GETCFN, +[](EditLine* line, wchar_t* out) {
        State* state = nullptr;
        el_get(line, EL_CLIENTDATA, &state);
        return state->next_character(*out);
      });
  el_set(
      editor, EL_ADDFN, "paste", "take what the terminal pastes", +[](EditLine* line, int) -> unsigned char {
        State* state = nullptr;
        el_get(line, EL_CLIENTDATA, &state);
        return state->paste();
      });
  for (const auto& [key, command] : kKeys) el_set(editor, EL_BIND, key, command, nullptr);

  state_->history = history_init();
  CORTENSOR_CHECK(state_->history != nullptr);
  HistEvent event;
  history(state_->history, &event, H_SETSIZE, kHistoryLines);
  history(state_->history, &event, H_SETUNIQUE, 1);
  el_set(editor, EL_HIST, history, state_->history);
}

LineEditor::~LineEditor() {
  el_end(state_->editor);
  history_end(state_->history);
}

std::optional<std::string> LineEditor::read() {
  (void)state_->ctrl_c.take();  // what stopped the last answer does not end the conversation
  const bool knows_paste = takes_escapes(STDOUT_FILENO);
  if (knows_paste) send(kPasteOn);
  el_resize(state_->editor);  // the window may have changed since
  el_set(state_->editor, EL_PREP_TERM,
         1);  // before the prompt is shown, so that no key is lost to the terminal
  int length = 0;
  const char* typed = el_gets(state_->editor, &length);
  if (knows_paste) send(kPasteOff);
  if (typed == nullptr || length <= 0 || state_->ctrl_c.take()) return std::nullopt;
  std::string line(typed);  // the length is in characters of the editor's own
  if (line.ends_with('\n')) line.pop_back();
  if (line.empty()) return line;
  HistEvent event;
  history(state_->history, &event, H_ENTER, line.c_str());
  return line;
}

}  // namespace cortensor::app
