// Files of clients, and batches of requests that run when there is time: in the same database as the money,
// so that a line's result and its payment are one transaction. Spec: docs/spec/http-api.md, 8; ledger.md, 7.
//
// Synchronous, and each object is called from one thread. As in Ledger every change is one durable
// transaction, several processes may have the store open, and `now` is the caller's. Errors of every call: as
// those of Ledger; not_found: no such file or batch of this account.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ledger/types.h"

namespace cortensor::ledger {

class Database;

inline constexpr std::uint64_t kMaxAccountFileBytes = 1024 * 1024 * 1024;  // of an account's files together
inline constexpr std::size_t kMaxFiles = 1000;                             // of an account
inline constexpr std::size_t kMaxUnendedBatches = 50;                      // of an account

struct File {
  FileId id;
  AccountId account;
  std::string name;
  std::string purpose;
  std::uint64_t bytes = 0;
  WallTime created;
};

struct FilePiece {
  std::int64_t number = 0;
  std::string text;
};

enum class BatchState : std::uint8_t {
  validating = 0,
  in_progress = 1,
  cancelling = 2,
  failed = 3,  // its input is not as it has to be
  completed = 4,
  expired = 5,
  cancelled = 6
};

struct BatchSpec {
  AccountId account;
  std::string key_id;  // whose own sessions pay where none is named
  FileId input;
  std::string endpoint;
  SessionId session;     // empty: the key's own
  std::string metadata;  // JSON
  WallTime expiry;
};

struct Batch {
  BatchId id;
  BatchSpec spec;
  BatchState state = BatchState::validating;
  FileId output, errors;  // whole once the batch has ended, if there is anything in them
  std::string faults;     // JSON: what is wrong with the input of a failed one
  std::uint32_t total = 0, completed = 0, failed = 0;  // lines
  WallTime created;
  std::optional<WallTime> begun, cancelled, ended;
  std::uint64_t epoch = 0;
  bool at_work() const { return !ended; }
};

// A line of the input: where it lies in the file.
struct LinePlace {
  std::uint32_t line = 0;
  std::int64_t piece = 0;
  std::uint32_t start = 0, bytes = 0;
  std::string custom_id;
};

struct PendingLine {
  std::uint32_t line = 0;
  std::string custom_id;
  std::string text;
};

struct Page {
  std::size_t limit = 20;
  std::string after;  // an id; empty: from the beginning
};

class BatchStore {
 public:
  explicit BatchStore(std::unique_ptr<Database> database);
  ~BatchStore();

  // A file is begun, gets its pieces in order, and is there for its owner once it is whole. overloaded: the
  // account has as many files, or bytes in them, as it may have. The id is the caller's, who has drawn it.
  Status begin_file(const File& file);
  // A piece ends with a line, unless it is the last. invalid_input: not UTF-8, or with a NUL; names the line.
  Status add_piece(const FileId& file, std::string_view text);
  Result<File> finish_file(const FileId& file, std::string_view purpose);
  Status drop_file(const FileId& file);  // one that is not whole, and never will be

  Result<File> file(const AccountId& account, const FileId& file);
  // The newest first; purpose empty: all.
  Result<std::vector<File>> list_files(const AccountId& account, std::string_view purpose, const Page& page);
  // conflict: a batch at work reads it.
  Status delete_file(const AccountId& account, const FileId& file);
  // The first piece with this number or a later one; none after the last.
  Result<std::optional<FilePiece>> piece(const FileId& file, std::int64_t from);

  // overloaded: too many batches of the account have not ended, or its files leave no room for results.
  Result<Batch> create_batch(const BatchSpec& spec, WallTime now);
  Result<Batch> batch(const AccountId& account, const BatchId& batch);
  Result<std::vector<Batch>> list_batches(const AccountId& account, const Page& page);  // the newest first
  // Asks for its end; conflict: it has ended.
  Result<Batch> cancel_batch(const AccountId& account, const BatchId& batch, WallTime now);

  // The batches at work that are this router's until `until`: those that it had, and, under a new epoch,
  // those that have been nobody's since `free`. What follows is `cancelled` when the batch has another epoch.
  Result<std::vector<Batch>> take_batches(const NodeId& router, WallTime until, WallTime free, WallTime now);
  // It is nobody's from now on.
  Status give_back(const BatchId& batch, std::uint64_t epoch, WallTime now);
  // The input's lines. They count once begin_batch() comes after; those added before an earlier stop are
  // forgotten by forget_lines(). conflict, of all four: the batch has begun.
  Status forget_lines(const BatchId& batch, std::uint64_t epoch);
  Status add_lines(const BatchId& batch, std::uint64_t epoch, std::span<const LinePlace> lines);
  Status begin_batch(const BatchId& batch, std::uint64_t epoch, std::uint32_t total, WallTime now);
  Status fail_batch(const BatchId& batch, std::uint64_t epoch, std::string_view faults, WallTime now);
  // Lines without a result, in order from number `from` on.
  Result<std::vector<PendingLine>> pending(const Batch& batch, std::uint32_t from, std::size_t limit);
  // Results that nobody is paid for. What has a result already is left as it is.
  Status finish_lines(std::span<const LineResult> results);
  // Once no line is left. Yields how it has ended.
  Result<BatchState> end_batch(const BatchId& batch, std::uint64_t epoch, bool expired, WallTime now);

  // Removes some of what is deleted or was begun long ago and never finished; whether there may be more.
  Result<bool> sweep(WallTime now);

 private:
  bool ours(const BatchId& batch, std::uint64_t epoch);
  Status not_begun(const BatchId& batch, std::uint64_t epoch);
  std::optional<std::string> text_of_piece(const FileId& file, std::int64_t number);

  std::unique_ptr<Database> database_;
  Database& db_;
};

std::string_view to_string(BatchState state);

// In the transaction of a settlement. cancelled: the line has its result, or the batch is at another router.
Status check_line(Database& db, const LineResult& result);
void write_line(Database& db, const LineResult& result);

}  // namespace cortensor::ledger
