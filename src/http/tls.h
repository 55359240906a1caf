// How TLS is set up: TLS 1.2 or newer, certificate files in PEM. Inside the HTTP layer only.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "base/result.h"

typedef struct ssl_st SSL;

namespace cortensor::http {

using TlsContext = std::unique_ptr<boost::asio::ssl::context>;

Result<TlsContext> server_tls(const std::string& certificate_chain_file, const std::string& private_key_file);

// With `trust_pin` no chain is checked: the caller compares the certificate after the handshake.
Result<TlsContext> client_tls(const std::string& ca_file, bool trust_pin);

// Lower-case hexadecimal SHA-256 of the peer's certificate in DER form; empty when it showed none.
std::string peer_certificate_sha256(SSL* tls);

// Why the peer's certificate was not accepted, in OpenSSL's words; empty when it was.
std::string verification_failure(SSL* tls);

}  // namespace cortensor::http
