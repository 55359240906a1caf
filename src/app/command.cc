#include "app/command.h"

#include <cstdio>

#include "app/printable.h"

namespace cortensor::app {
namespace {

Exit exit_for(ErrorKind kind) {
  return kind == ErrorKind::cancelled       ? Exit::interrupted
         : kind == ErrorKind::invalid_input ? Exit::usage
                                            : Exit::failure;
}

}  // namespace

Exit report(const Error& error) {
  std::fprintf(stderr, "cortensor: %s\n", printable_line(error.message).c_str());
  return exit_for(error.kind);
}

void run_with(CLI::App* command, std::function<Result<Exit>()> work) {
  command->callback([work = std::move(work)] {
    const Result<Exit> result = work();
    Exit code = result ? *result : report(result.error());
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
      std::fputs("cortensor: standard output: cannot be written\n", stderr);
      if (code == Exit::success) code = Exit::failure;
    }
    if (code != Exit::success) throw CLI::RuntimeError(static_cast<int>(code));
  });
}

void examples(CLI::App* command, std::string text) {
  command->footer("Examples:\n" + std::move(text));
}

}  // namespace cortensor::app
