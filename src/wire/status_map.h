// Our errors as gRPC statuses and back; the kinds that nodes act on survive the round trip.
#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"

namespace cortensor::wire {

// The message is cut to protocol::kMaxReasonBytes.
grpc::Status to_status(const Error& error);

// OK becomes "unavailable: the peer closed the connection": for us the end of a stream is never a success.
Error to_error(const grpc::Status& status);

}  // namespace cortensor::wire
