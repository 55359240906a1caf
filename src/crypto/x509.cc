#include "crypto/x509.h"

#include <openssl/conf.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

#include "base/check.h"
#include "base/hex.h"

namespace cortensor::crypto {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using ConfPtr = std::unique_ptr<CONF, decltype(&NCONF_free)>;

// Certificates do not expire: a key is revoked by forgetting it, not by a date.
constexpr char kNotBefore[] = "20200101000000Z";
constexpr char kNotAfter[] = "99991231235959Z";  // RFC 5280 4.1.2.5: no well-defined expiration date
constexpr std::size_t kMaxCertificateBytes = 64 << 10;

constexpr char kTls13Only[] =
    "openssl_conf = cortensor\n"
    "[cortensor]\n"
    "ssl_conf = policies\n"
    "[policies]\n"
    "system_default = policy\n"
    "[policy]\n"
    "Protocol = -SSLv3, -TLSv1, -TLSv1.1, -TLSv1.2, -DTLSv1, -DTLSv1.2\n";

Bio reader_of(std::string_view text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

std::string text_in(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

Result<NodeId> node_of(const X509Ptr& certificate) {
  if (!certificate) return fail(ErrorKind::invalid_input, "certificate: not an X.509 certificate");
  const EVP_PKEY* key = X509_get0_pubkey(certificate.get());
  if (key == nullptr || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519)
    return fail(ErrorKind::invalid_input, "certificate: expected an Ed25519 key, found another kind");
  Bytes32 raw{};
  std::size_t size = raw.size();
  if (EVP_PKEY_get_raw_public_key(key, raw.data(), &size) != 1 || size != raw.size())
    return fail(ErrorKind::invalid_input, "certificate: the Ed25519 key is malformed");
  return NodeId(to_hex(raw));
}

Status load_tls13_policy() {
  // The system's configuration first, so that loading it later cannot undo ours.
  OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, nullptr);
  const Bio text = reader_of(kTls13Only);
  const ConfPtr configuration(NCONF_new(nullptr), NCONF_free);
  if (!text || !configuration || NCONF_load_bio(configuration.get(), text.get(), nullptr) != 1 ||
      CONF_modules_load(configuration.get(), nullptr, 0) != 1)
    return fail(ErrorKind::internal, "TLS: OpenSSL refuses to be limited to version 1.3");
  return ok();
}

}  // namespace

Certificate make_certificate(const PrivateKey& key) {
  const Key raw(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, key.seed().data(), key.seed().size()),
                EVP_PKEY_free);
  const X509Ptr certificate(X509_new(), X509_free);
  CORTENSOR_CHECK(raw && certificate);
  X509* x = certificate.get();
  CORTENSOR_CHECK(X509_set_version(x, X509_VERSION_3) == 1);
  CORTENSOR_CHECK(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), 1) == 1);
  CORTENSOR_CHECK(ASN1_TIME_set_string_X509(X509_getm_notBefore(x), kNotBefore) == 1);
  CORTENSOR_CHECK(ASN1_TIME_set_string_X509(X509_getm_notAfter(x), kNotAfter) == 1);
  const std::string name = key.node_id().value;
  X509_NAME* subject = X509_get_subject_name(x);
  CORTENSOR_CHECK(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                             reinterpret_cast<const unsigned char*>(name.data()),
                                             static_cast<int>(name.size()), -1, 0) == 1);
  CORTENSOR_CHECK(X509_set_issuer_name(x, subject) == 1);
  CORTENSOR_CHECK(X509_set_pubkey(x, raw.get()) == 1);
  CORTENSOR_CHECK(X509_sign(x, raw.get(), nullptr) > 0);  // Ed25519 brings its own hash and is deterministic

  const Bio certificate_out(BIO_new(BIO_s_mem()), BIO_free);
  const Bio key_out(BIO_new(BIO_s_secmem()), BIO_free);
  CORTENSOR_CHECK(PEM_write_bio_X509(certificate_out.get(), x) == 1);
  CORTENSOR_CHECK(
      PEM_write_bio_PKCS8PrivateKey(key_out.get(), raw.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return {text_in(certificate_out), text_in(key_out)};
}

Result<NodeId> node_of_certificate_pem(std::string_view pem) {
  if (pem.size() > kMaxCertificateBytes)
    return fail(ErrorKind::invalid_input,
                "certificate: larger than " + std::to_string(kMaxCertificateBytes) + " bytes");
  const Bio in = reader_of(pem);
  return node_of(X509Ptr(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr), X509_free));
}

Status require_tls13() {
  static const Status status = load_tls13_policy();
  return status;
}

}  // namespace cortensor::crypto
