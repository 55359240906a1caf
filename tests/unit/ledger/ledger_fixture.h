// What the ledger tests share: times, node ids, a counted source of tokens, stores to open.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "base/hex.h"
#include "crypto/sha256.h"
#include "ledger/ledger.h"
#include "ledger/open_ledger.h"
#include "ledger/rules.h"
#include "postgres_server.h"

namespace cortensor::ledger::testing {

inline WallTime at(std::int64_t ms) {
  return WallTime(std::chrono::milliseconds(ms));
}
inline NodeId node_number(int n) {
  return NodeId(to_hex(crypto::sha256(bytes_of("node " + std::to_string(n)))));
}
inline Digest digest_of(std::string_view text) {
  return crypto::sha256(bytes_of(text));
}

// Two sources of equal seed make equal tokens, so that two ledgers can be compared to the letter.
inline TokenSource counted_tokens(std::string seed) {
  return [seed, n = 0](std::string_view prefix, int characters) mutable {
    const std::string body = to_hex(crypto::sha256(bytes_of(seed + std::to_string(n++))));
    return std::string(prefix) + body.substr(0, static_cast<std::size_t>(characters));
  };
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ledger_test_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline std::unique_ptr<Ledger> must_open(const std::string& store, LedgerOptions options = {}) {
  auto opened = open_ledger(store, std::move(options));
  EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message);
  return opened ? *std::move(opened) : nullptr;
}

// For tests of every store: empty ones, to be opened with must_open.
class EachStore : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (in_postgres() && !PostgresServer::shared()) GTEST_SKIP() << "PostgreSQL is not installed";
  }
  std::string name() const { return GetParam(); }
  bool in_postgres() const { return name() == "postgres"; }
  std::string new_store() {
    return in_postgres() ? PostgresServer::shared()->new_database()
                         : (folder_ / ("ledger" + std::to_string(++files_) + ".db")).string();
  }

 private:
  TemporaryFolder folder_;
  int files_ = 0;
};
inline std::string store_name(const ::testing::TestParamInfo<const char*>& info) {
  return info.param;
}

inline void expect_clean(Ledger& ledger) {
  const auto report = ledger.audit();
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->violation, "");
}

template <class T>
void expect_error(const Result<T>& result, ErrorKind kind, std::string_view part_of_message = "") {
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(to_string(result.error().kind), to_string(kind)) << result.error().message;
  EXPECT_NE(result.error().message.find(part_of_message), std::string::npos) << result.error().message;
}

// An account with money, a priced model and an open session.
struct Client {
  AccountId account;
  SessionId session;
};

inline SessionSpec spec_for(const AccountId& account, Credits budget) {
  SessionSpec spec;
  spec.account = account;
  spec.model = "tales:q8_0";
  spec.budget = budget;
  spec.expiry = at(1'000'000);
  return spec;
}

inline Client open_client(Ledger& ledger, Credits money, Credits budget) {
  Client client;
  client.account = *ledger.create_account("ada", at(1));
  EXPECT_TRUE(ledger.deposit(client.account, money, "first money", at(2)));
  EXPECT_TRUE(ledger.set_price("tales:q8_0", Price{}));
  client.session = *ledger.open_session(spec_for(client.account, budget), at(3));
  return client;
}

inline Settlement settlement_of(const SessionId& session, std::string task, std::vector<Payment> payments,
                                TaskOutcome outcome = TaskOutcome::valid) {
  return {TaskId(std::move(task)), 0, session, std::move(payments), {10, 20}, outcome, digest_of("receipt")};
}

}  // namespace cortensor::ledger::testing
