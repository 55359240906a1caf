// Claims: a key has one certificate, byte for byte, and it names that key; anything that is not a certificate
// of an Ed25519 key is refused; after require_tls13() no context of this process speaks TLS 1.2.
#include "crypto/x509.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

namespace cortensor::crypto {
namespace {

PrivateKey key_of(std::uint8_t fill) {
  Bytes32 seed{};
  seed.fill(fill);
  return PrivateKey::from_seed(seed);
}

TEST(Certificate, IsAFunctionOfTheKeyAndNamesIt) {
  const PrivateKey key = key_of(1);
  const Certificate certificate = make_certificate(key);
  EXPECT_EQ(certificate.certificate_pem, make_certificate(key).certificate_pem);
  EXPECT_EQ(certificate.key_pem, make_certificate(key).key_pem);
  const auto node = node_of_certificate_pem(certificate.certificate_pem);
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_EQ(*node, key.node_id());
  EXPECT_NE(*node_of_certificate_pem(make_certificate(key_of(2)).certificate_pem), key.node_id());
}

TEST(Certificate, RefusesWhatIsNoneByName) {
  for (const std::string_view text :
       {"", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}) {
    const auto node = node_of_certificate_pem(text);
    ASSERT_FALSE(node);
    EXPECT_EQ(node.error().message, "certificate: not an X.509 certificate");
  }
  EXPECT_FALSE(node_of_certificate_pem(make_certificate(key_of(1)).key_pem));
  EXPECT_FALSE(node_of_certificate_pem(std::string(1 << 20, 'x')));
}

TEST(Certificate, RefusesAnotherKindOfKey) {
  // A self-signed P-256 certificate.
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_pubkey(certificate, key);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 60);
  ASSERT_GT(X509_sign(certificate, key, EVP_sha256()), 0);
  BIO* out = BIO_new(BIO_s_mem());
  ASSERT_EQ(PEM_write_bio_X509(out, certificate), 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out, &text);
  const auto node = node_of_certificate_pem({text, static_cast<std::size_t>(size)});
  BIO_free(out);
  X509_free(certificate);
  EVP_PKEY_free(key);
  ASSERT_FALSE(node);
  EXPECT_EQ(node.error().message, "certificate: expected an Ed25519 key, found another kind");
}

TEST(Tls, ContextsSpeakNothingBelow13) {
  ASSERT_TRUE(require_tls13());
  ASSERT_TRUE(require_tls13());
  SSL_CTX* context = SSL_CTX_new(TLS_method());
  // As gRPC does: an explicit minimum of 1.2 must not bring it back.
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  EXPECT_NE(SSL_CTX_get_options(context) & SSL_OP_NO_TLSv1_2, 0u);
  EXPECT_EQ(SSL_CTX_get_options(context) & SSL_OP_NO_TLSv1_3, 0u);
  SSL_CTX_free(context);
}

}  // namespace
}  // namespace cortensor::crypto
