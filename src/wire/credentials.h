// Mutual TLS 1.3 without authorities: both sides present the certificate of their key. The server learns who
// came and decides later; the client accepts one key only, during the handshake.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "crypto/ed25519.h"

namespace cortensor::wire {

// Requires a certificate of every client and checks only that the client holds its key.
std::shared_ptr<grpc::ServerCredentials> server_credentials(const crypto::PrivateKey& key);

// The node whose key the peer of this call has proved to hold.
Result<NodeId> peer_of(const grpc::AuthContext& context);

// Accepts a server that holds the key `expected`, and remembers why it did not accept one.
class Pin {
 public:
  Pin(std::string address, NodeId expected) : address_(std::move(address)), expected_(std::move(expected)) {}

  Status check(std::string_view certificate_pem);
  std::optional<Error> mismatch() const;

 private:
  const std::string address_;  // for the message
  const NodeId expected_;
  mutable std::mutex mutex_;  // gRPC's threads check, the executor asks
  std::optional<Error> mismatch_;
};

std::shared_ptr<grpc::ChannelCredentials> channel_credentials(const crypto::PrivateKey& key,
                                                              std::shared_ptr<Pin> pin);

}  // namespace cortensor::wire
