#include "wire/credentials.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <functional>
#include <utility>

#include "crypto/x509.h"

namespace cortensor::wire {
namespace {

namespace tls = grpc::experimental;

std::string_view view_of(grpc::string_ref text) {
  return {text.data(), text.size()};
}

// gRPC calls this when the handshake is complete: the server has proved to hold the key of the certificate.
class PinVerifier final : public tls::ExternalCertificateVerifier {
 public:
  explicit PinVerifier(std::shared_ptr<Pin> pin) : pin_(std::move(pin)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)> /*callback*/,
              grpc::Status* answer) override {
    const Status checked = pin_->check(view_of(request->peer_cert()));
    *answer =
        checked ? grpc::Status::OK : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, checked.error().message);
    return true;  // answered at once
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest* /*request*/) override {}

 private:
  const std::shared_ptr<Pin> pin_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> server_credentials(const crypto::PrivateKey& key) {
  const crypto::Certificate certificate = crypto::make_certificate(key);
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  options.pem_key_cert_pairs.push_back({certificate.key_pem, certificate.certificate_pem});
  return grpc::SslServerCredentials(options);
}

Result<NodeId> peer_of(const grpc::AuthContext& context) {
  const auto certificates = context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (certificates.size() != 1)
    return fail(ErrorKind::unauthenticated, "expected a client certificate, found none");
  auto node = crypto::node_of_certificate_pem(view_of(certificates.front()));
  if (!node) return fail(ErrorKind::unauthenticated, "client " + node.error().message);
  return node;
}

Status Pin::check(std::string_view certificate_pem) {
  const auto presented = crypto::node_of_certificate_pem(certificate_pem);
  if (presented && *presented == expected_) return ok();
  Error error =
      fail(ErrorKind::unauthenticated,
           "router at " + address_ + " presents " +
               (presented ? "key " + presented->value : "no usable key (" + presented.error().message + ")") +
               ", join link expects " + expected_.value);
  const std::lock_guard lock(mutex_);
  mismatch_ = error;
  return error;
}

std::optional<Error> Pin::mismatch() const {
  const std::lock_guard lock(mutex_);
  return mismatch_;
}

std::shared_ptr<grpc::ChannelCredentials> channel_credentials(const crypto::PrivateKey& key,
                                                              std::shared_ptr<Pin> pin) {
  const crypto::Certificate certificate = crypto::make_certificate(key);
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<tls::StaticDataCertificateProvider>(
      "", std::vector<tls::IdentityKeyCertPair>{{certificate.key_pem, certificate.certificate_pem}}));
  options.watch_identity_key_cert_pairs();
  // Neither chain nor host name say anything here; the pin is the whole check.
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<PinVerifier>(std::move(pin)));
  return tls::TlsCredentials(options);
}

}  // namespace cortensor::wire
