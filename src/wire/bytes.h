// Frames as gRPC carries them.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <string>
#include <string_view>

namespace cortensor::wire {

inline grpc::ByteBuffer to_buffer(const std::string& frame) {
  const grpc::Slice slice(frame);
  return grpc::ByteBuffer(&slice, 1);
}

// Calls use(std::string_view) with the bytes in one piece.
template <class Use>
auto with_bytes_of(const grpc::ByteBuffer& buffer, Use use) {
  grpc::Slice slice;
  if (!buffer.TrySingleSlice(&slice).ok() && !buffer.DumpToSingleSlice(&slice).ok())
    return use(std::string_view());
  return use(std::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size()));
}

}  // namespace cortensor::wire
