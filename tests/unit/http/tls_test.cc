// Claims: over TLS the server serves the same, and a client believes only the certificate it was told to
// believe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/hex.h"
#include "http/sse.h"
#include "test_server.h"

namespace cortensor::http {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

// A fresh self-signed certificate for 127.0.0.1, or another name, in files that go away with it.
class Certificate {
 public:
  explicit Certificate(const char* alternative_name = "IP:127.0.0.1") {
    std::string pattern = (std::filesystem::temp_directory_path() / "http_tls_XXXXXX").string();
    CORTENSOR_CHECK(mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* x509 = X509_new();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -60);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, key);
    X509_NAME* name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1,
                               -1, 0);
    X509_set_issuer_name(x509, name);
    X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, alternative_name);
    X509_add_ext(x509, names, -1);
    X509_EXTENSION_free(names);
    CORTENSOR_CHECK(X509_sign(x509, key, EVP_sha256()) > 0);
    unsigned int size = 0;
    Bytes32 digest{};
    X509_digest(x509, EVP_sha256(), digest.data(), &size);
    sha256 = to_hex(digest);
    FILE* file = std::fopen(certificate().c_str(), "w");
    PEM_write_X509(file, x509);
    std::fclose(file);
    file = std::fopen(key_file().c_str(), "w");
    PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
    X509_free(x509);
    EVP_PKEY_free(key);
  }
  ~Certificate() { std::filesystem::remove_all(folder_); }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  std::string certificate() const { return folder_ / "cert.pem"; }
  std::string key_file() const { return folder_ / "key.pem"; }
  ServerOptions options() const {
    ServerOptions options;
    options.certificate_chain_file = certificate();
    options.private_key_file = key_file();
    return options;
  }
  std::string sha256;

 private:
  std::filesystem::path folder_;
};

// Small and large, whole and streamed.
void serve(Request request, Responder responder) {
  if (request.path == "/stream") {
    Stream stream = responder.start_stream(200, sse_headers());
    for (int i = 0; i < 100; ++i) stream.write(sse_data(std::to_string(i)));
    return stream.finish();
  }
  responder.respond(200, {}, request.body);
}

Result<ClientResponse> ask(ClientOptions options, const std::string& url, std::string body = "hello") {
  return Client(std::move(options)).request({.method = "POST", .url = url, .body = std::move(body)});
}

TEST(Tls, ServesAClientThatTrustsTheFileOrThePin) {
  const Certificate certificate;
  TestServer server(serve, certificate.options());
  const ClientOptions by_file{.ca_file = certificate.certificate()};
  const ClientOptions by_pin{.pinned_sha256 = certificate.sha256};
  for (const ClientOptions& options : {by_file, by_pin}) {
    const auto answer = ask(options, server.url("/"));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->body, "hello");
    const std::string large(3 << 20, 'x');
    EXPECT_EQ(ask(options, server.url("/"), large)->body, large);
    const auto stream = ask(options, server.url("/stream"));
    ASSERT_TRUE(stream) << stream.error().message;
    EXPECT_EQ(count(stream->body, "data: "), 100);
  }
}

TEST(Tls, TheClientRefusesWhatItWasNotToldToBelieve) {
  const Certificate certificate;
  const Certificate other;
  TestServer server(serve, certificate.options());
  const auto by_store = ask({}, server.url("/"));
  const auto by_file = ask({.ca_file = other.certificate()}, server.url("/"));
  const auto by_pin = ask({.pinned_sha256 = other.sha256}, server.url("/"));
  for (const auto* answer : {&by_store, &by_file, &by_pin}) {
    ASSERT_FALSE(*answer);
    EXPECT_EQ(answer->error().kind, ErrorKind::unauthenticated) << answer->error().message;
  }
  EXPECT_THAT(by_pin.error().message, HasSubstr(certificate.sha256));
}

TEST(Tls, TheClientRefusesACertificateForAnotherHost) {
  const Certificate certificate("DNS:elsewhere.example");
  TestServer server(serve, certificate.options());
  const auto answer = ask({.ca_file = certificate.certificate()}, server.url("/"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::unauthenticated) << answer.error().message;
}

// Plain text to a TLS port, TLS to a plain port, and a handshake that stops in the middle.
TEST(Tls, OtherProtocolsAreSentAway) {
  const Certificate certificate;
  TestServer server(serve, certificate.options());
  RawClient plain(server.port());
  plain.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  plain.read_all();
  const auto answer = ask({.ca_file = certificate.certificate()}, server.url("/"));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "hello");

  ServerOptions options = certificate.options();
  options.limits.header_timeout = std::chrono::milliseconds(50);  // too short for whoever means well
  TestServer hasty(serve, options);
  for (int i = 0; i < 2; ++i) {
    RawClient stalled(hasty.port());
    ASSERT_TRUE(stalled.send("\x16\x03\x01"));
    EXPECT_EQ(stalled.read_all(), "");
  }

  TestServer unencrypted(serve);
  const std::string url = "https://127.0.0.1:" + std::to_string(unencrypted.port()) + "/";
  EXPECT_EQ(ask({}, url).error().kind, ErrorKind::unauthenticated);
}

TEST(Tls, TheServerRefusesBadFiles) {
  const Certificate one;
  const Certificate two;
  AsioExecutor executor;
  const auto refusal = [&](std::string certificate, std::string key) {
    ServerOptions options;
    options.certificate_chain_file = std::move(certificate);
    options.private_key_file = std::move(key);
    const auto server = Server::listen(executor, options, serve);
    EXPECT_FALSE(server);
    return server ? std::string() : server.error().message;
  };
  EXPECT_THAT(refusal(one.certificate(), ""), StartsWith("TLS: expected a certificate and a private key"));
  EXPECT_THAT(refusal("/nowhere.pem", one.key_file()), StartsWith("TLS certificate /nowhere.pem: "));
  EXPECT_THAT(refusal(one.certificate(), one.certificate()), StartsWith("TLS private key "));
  EXPECT_THAT(refusal(one.certificate(), two.key_file()), StartsWith("TLS private key "));
  EXPECT_THAT(ask({.ca_file = "/nowhere.pem"}, "https://127.0.0.1:1/").error().message,
              AnyOf(HasSubstr("/nowhere.pem"), HasSubstr("Connection refused")));
}

}  // namespace
}  // namespace cortensor::http
