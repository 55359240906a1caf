#include "http/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>

#include "base/hex.h"

namespace cortensor::http {

namespace ssl = boost::asio::ssl;

namespace {

constexpr auto kOptions = ssl::context::default_workarounds | ssl::context::no_sslv2 |
                          ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1 |
                          ssl::context::no_compression;

}  // namespace

Result<TlsContext> server_tls(const std::string& certificate_chain_file,
                              const std::string& private_key_file) {
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  boost::system::error_code error;
  context->set_options(kOptions, error);
  context->use_certificate_chain_file(certificate_chain_file, error);
  if (error)
    return fail(ErrorKind::invalid_input,
                "TLS certificate " + certificate_chain_file + ": " + error.message());
  context->use_private_key_file(private_key_file, ssl::context::pem, error);
  if (error)
    return fail(ErrorKind::invalid_input, "TLS private key " + private_key_file + ": " + error.message());
  if (SSL_CTX_check_private_key(context->native_handle()) != 1)
    return fail(ErrorKind::invalid_input, "TLS private key " + private_key_file +
                                              ": does not belong to the certificate " +
                                              certificate_chain_file);
  return context;
}

Result<TlsContext> client_tls(const std::string& ca_file, bool trust_pin) {
  auto context = std::make_unique<ssl::context>(ssl::context::tls_client);
  boost::system::error_code error;
  context->set_options(kOptions, error);
  if (trust_pin) {
    context->set_verify_mode(ssl::verify_none, error);
    return context;
  }
  context->set_verify_mode(ssl::verify_peer, error);
  if (ca_file.empty()) {
    context->set_default_verify_paths(error);
    if (error) return fail(ErrorKind::unavailable, "TLS: the system's certificate store: " + error.message());
  } else {
    context->load_verify_file(ca_file, error);
    if (error) return fail(ErrorKind::invalid_input, "TLS CA file " + ca_file + ": " + error.message());
  }
  return context;
}

std::string peer_certificate_sha256(SSL* tls) {
  const std::unique_ptr<X509, void (*)(X509*)> certificate(SSL_get1_peer_certificate(tls), X509_free);
  Bytes32 digest{};
  unsigned int size = 0;
  if (!certificate || X509_digest(certificate.get(), EVP_sha256(), digest.data(), &size) != 1) return {};
  return to_hex(digest);
}

std::string verification_failure(SSL* tls) {
  const long result = SSL_get_verify_result(tls);
  return result == X509_V_OK ? std::string() : X509_verify_cert_error_string(result);
}

}  // namespace cortensor::http
