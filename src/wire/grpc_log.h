// gRPC's own log lines become debug events of ours: every stranger that fails a handshake makes some, and
// what an operator can act on we report ourselves.
#pragma once

namespace cortensor::wire {

void quiet_grpc();  // idempotent

}  // namespace cortensor::wire
