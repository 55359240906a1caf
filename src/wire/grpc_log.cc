#include "wire/grpc_log.h"

#include <grpc/support/log.h>

#include "base/log.h"

namespace cortensor::wire {

void quiet_grpc() {
  gpr_set_log_function([](gpr_log_func_args* line) {
    log::debug("grpc", {{"severity", gpr_log_severity_string(line->severity)}, {"message", line->message}});
  });
}

}  // namespace cortensor::wire
