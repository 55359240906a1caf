// Claims: neither end speaks TLS 1.2, and the router takes no connection without a client certificate. The
// other end is OpenSSL itself, with the process's policy lifted for its own context.
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "crypto/x509.h"
#include "network.h"
#include "sockets.h"

namespace cortensor::wire {
namespace {

using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using Tls = std::unique_ptr<SSL, decltype(&SSL_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

Context context_of(int version, const crypto::PrivateKey* key) {
  Context context(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  SSL_CTX_clear_options(context.get(), SSL_OP_NO_TLSv1_2);
  SSL_CTX_set_min_proto_version(context.get(), version);
  SSL_CTX_set_max_proto_version(context.get(), version);
  const unsigned char alpn[] = "\x02h2";
  SSL_CTX_set_alpn_protos(context.get(), alpn, 3);
  if (key != nullptr) {
    const crypto::Certificate certificate = crypto::make_certificate(*key);
    const Bio pem(BIO_new_mem_buf(certificate.certificate_pem.data(), -1), BIO_free);
    const Bio key_pem(BIO_new_mem_buf(certificate.key_pem.data(), -1), BIO_free);
    X509* x509 = PEM_read_bio_X509(pem.get(), nullptr, nullptr, nullptr);
    EVP_PKEY* private_key = PEM_read_bio_PrivateKey(key_pem.get(), nullptr, nullptr, nullptr);
    EXPECT_EQ(SSL_CTX_use_certificate(context.get(), x509), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), private_key), 1);
    X509_free(x509);
    EVP_PKEY_free(private_key);
  }
  return context;
}

struct Handshake {
  bool complete = false;
  bool served = false;  // the server sent application data: it has accepted our side, too
  std::string version;
};

Handshake shake_hands(std::uint16_t port, int version, const crypto::PrivateKey* key) {
  const Context context = context_of(version, key);
  const Socket socket = connect_to(port);
  const Tls tls(SSL_new(context.get()), SSL_free);
  SSL_set_fd(tls.get(), socket.fd());
  Handshake result;
  result.complete = SSL_connect(tls.get()) == 1;
  if (!result.complete) return result;
  result.version = SSL_get_version(tls.get());
  char byte = 0;
  result.served = SSL_read(tls.get(), &byte, 1) == 1;  // an HTTP/2 server speaks first
  return result;
}

TEST(Tls, TheRouterSpeaksOnly13) {
  Router router;
  const crypto::PrivateKey key = test_key(1);
  const Handshake modern = shake_hands(router.port(), TLS1_3_VERSION, &key);
  EXPECT_TRUE(modern.served);
  EXPECT_EQ(modern.version, "TLSv1.3");
  EXPECT_FALSE(shake_hands(router.port(), TLS1_2_VERSION, &key).complete);
}

TEST(Tls, TheRouterRequiresAClientCertificate) {
  Router router;
  EXPECT_FALSE(shake_hands(router.port(), TLS1_3_VERSION, nullptr).served);
}

TEST(Tls, TheNodeSpeaksOnly13) {
  const crypto::PrivateKey key = test_key(200);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const Context context = context_of(version, &key);
    SSL_CTX_set_alpn_select_cb(
        context.get(),
        [](SSL*, const unsigned char** out, unsigned char* size, const unsigned char*, unsigned, void*) {
          *out = reinterpret_cast<const unsigned char*>("h2");
          *size = 2;
          return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
    Listener listener;
    TestExecutor executor;
    const Node node(executor, {"127.0.0.1", listener.port(), key.node_id(), "token"}, test_key(1));
    const Socket socket = listener.accept();
    const Tls tls(SSL_new(context.get()), SSL_free);
    SSL_set_fd(tls.get(), socket.fd());
    EXPECT_EQ(SSL_accept(tls.get()) == 1, version == TLS1_3_VERSION);
  }
}

}  // namespace
}  // namespace cortensor::wire
