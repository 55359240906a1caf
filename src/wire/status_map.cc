#include "wire/status_map.h"

#include "protocol/message.h"

namespace cortensor::wire {
namespace {

using grpc::StatusCode;

struct Pair {
  ErrorKind kind;
  StatusCode code;
};

constexpr Pair kPairs[] = {
    {ErrorKind::invalid_input, StatusCode::INVALID_ARGUMENT},
    {ErrorKind::not_found, StatusCode::NOT_FOUND},
    {ErrorKind::corrupt, StatusCode::DATA_LOSS},
    {ErrorKind::unsupported, StatusCode::UNIMPLEMENTED},
    {ErrorKind::unauthenticated, StatusCode::UNAUTHENTICATED},
    {ErrorKind::forbidden, StatusCode::PERMISSION_DENIED},
    {ErrorKind::payment_required, StatusCode::FAILED_PRECONDITION},
    {ErrorKind::conflict, StatusCode::ABORTED},
    {ErrorKind::overloaded, StatusCode::RESOURCE_EXHAUSTED},
    {ErrorKind::timed_out, StatusCode::DEADLINE_EXCEEDED},
    {ErrorKind::cancelled, StatusCode::CANCELLED},
    {ErrorKind::unavailable, StatusCode::UNAVAILABLE},
    {ErrorKind::internal, StatusCode::INTERNAL},
};

}  // namespace

grpc::Status to_status(const Error& error) {
  const std::string message = error.message.substr(0, protocol::kMaxReasonBytes);
  for (const Pair& pair : kPairs)
    if (pair.kind == error.kind) return {pair.code, message};
  return {StatusCode::INTERNAL, message};
}

Error to_error(const grpc::Status& status) {
  if (status.ok()) return fail(ErrorKind::unavailable, "the peer closed the connection");
  for (const Pair& pair : kPairs)
    if (pair.code == status.error_code()) return fail(pair.kind, status.error_message());
  return fail(ErrorKind::unavailable, status.error_message());
}

}  // namespace cortensor::wire
