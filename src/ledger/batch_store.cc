#include "ledger/batch_store.h"

#include <algorithm>
#include <limits>

#include "crypto/random.h"
#include "ledger/database.h"
#include "ledger/rules.h"

namespace cortensor::ledger {
namespace {

constexpr std::int64_t kNewest = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kMostTaken = 256;          // batches that one router works on
constexpr std::size_t kSweptAtOnce = 16;         // pieces
constexpr std::chrono::hours kLongestUpload{1};  // afterwards it is nobody's
constexpr std::string_view kOutput = "batch_output";

// Columns as in `files`, counted from 0.
File file_of(const Query& row) {
  return {FileId(row.text(1)),
          AccountId(row.text(2)),
          row.text(3),
          row.text(4),
          static_cast<std::uint64_t>(row.integer(6)),
          row.time(8)};
}

std::optional<WallTime> time_or_none(const Query& row, int column) {
  return row.is_null(column) ? std::nullopt : std::optional(row.time(column));
}

// Columns as in `batches`.
Batch batch_of(const Query& row) {
  Batch batch;
  batch.id = BatchId(row.text(1));
  batch.spec = {AccountId(row.text(2)), row.text(3), FileId(row.text(4)), row.text(5),
                SessionId(row.text(6)), row.text(7), row.time(16)};
  batch.state = row.one_of(8, BatchState::cancelled);
  batch.output = FileId(row.text(9));
  batch.errors = FileId(row.text(10));
  batch.faults = row.text(11);
  batch.total = row.number(12);
  batch.completed = row.number(13);
  batch.failed = row.number(14);
  batch.created = row.time(15);
  batch.begun = time_or_none(row, 17);
  batch.cancelled = time_or_none(row, 18);
  batch.ended = time_or_none(row, 19);
  batch.epoch = static_cast<std::uint64_t>(row.integer(21));
  return batch;
}

Error not_ours(const BatchId& batch) {
  return fail(ErrorKind::cancelled, "batch " + batch.value + " has ended, or is at another router");
}

std::int64_t signed_of(std::size_t number) {
  return static_cast<std::int64_t>(number);
}

void insert_file(Database& db, const File& file) {
  db.run(
      "INSERT INTO files (id, account, name, purpose, state, bytes, lines, created)"
      " VALUES ($1, $2, $3, $4, 0, 0, 0, $5)",
      file.id, file.account, file.name, file.purpose, file.created);
}

struct Stored {
  std::int64_t files = 0, bytes = 0;
};
Stored stored_by(Database& db, const AccountId& account) {
  Query row = db.query(
      "SELECT count(*), CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM files WHERE account = $1 AND state < 2",
      account);
  return row.next() ? Stored{row.integer(0), row.integer(1)} : Stored{};
}

Status room_for(Database& db, const AccountId& account, std::int64_t more) {
  const Stored stored = stored_by(db, account);
  if (stored.files + more <= signed_of(kMaxFiles) && stored.bytes < signed_of(kMaxAccountFileBytes))
    return ok();
  return fail(ErrorKind::overloaded, "the account has " + std::to_string(stored.files) + " files of " +
                                         std::to_string(stored.bytes) + " bytes together, and may have " +
                                         std::to_string(kMaxFiles) + " of " +
                                         std::to_string(kMaxAccountFileBytes) + "; delete some");
}

}  // namespace

std::string_view to_string(BatchState state) {
  constexpr std::string_view kNames[] = {"validating", "in_progress", "cancelling", "failed",
                                         "completed",  "expired",     "cancelled"};
  return kNames[static_cast<std::size_t>(state)];
}

BatchStore::BatchStore(std::unique_ptr<Database> database)
    : database_(std::move(database)), db_(*database_) {}

BatchStore::~BatchStore() = default;

// ---- files ----

Status BatchStore::begin_file(const File& file) {
  if (auto status = check_id("file", file.id.value); !status) return status;
  if (auto status = check_name("file name", file.name); !status) return status;
  return db_.change([&]() -> Status {
    if (auto status = room_for(db_, file.account, 1); !status) return status;
    insert_file(db_, file);
    return ok();
  });
}

Status BatchStore::add_piece(const FileId& file, std::string_view text) {
  const std::int64_t breaks = std::count(text.begin(), text.end(), '\n');
  return db_.change([&]() -> Status {
    std::int64_t number = 0, lines = 0;
    AccountId account;
    {
      Query row = db_.query("SELECT account, lines FROM files WHERE id = $1 AND state = 0", file);
      if (!row.next()) return fail(ErrorKind::timed_out, "the upload took too long");
      account = AccountId(row.text(0));
      lines = row.integer(1);
    }
    for (std::string_view rest = text; !is_storable(text) && !rest.empty();) {
      ++lines;
      const std::string_view line = rest.substr(0, rest.find('\n'));
      if (!is_storable(line))
        return fail(ErrorKind::invalid_input, "line " + std::to_string(lines) + " is not text in UTF-8");
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    }
    if (auto status = room_for(db_, account, 0); !status) return status;
    if (Query row = db_.query("SELECT coalesce(max(number) + 1, 0) FROM file_pieces WHERE file = $1", file);
        row.next())
      number = row.integer(0);
    db_.run("INSERT INTO file_pieces (file, number, body) VALUES ($1, $2, $3)", file, number, text);
    db_.run("UPDATE files SET bytes = bytes + $1, lines = lines + $2 WHERE id = $3", signed_of(text.size()),
            breaks, file);
    return ok();
  });
}

Result<File> BatchStore::finish_file(const FileId& id, std::string_view purpose) {
  return db_.change([&]() -> Result<File> {
    if (db_.run("UPDATE files SET state = 1, purpose = $1 WHERE id = $2 AND state = 0", purpose, id) == 0)
      return fail(ErrorKind::timed_out, "the upload took too long");
    Query row = db_.query("SELECT * FROM files WHERE id = $1", id);
    if (!row.next()) return no_such("file", id.value);
    return file_of(row);
  });
}

Status BatchStore::drop_file(const FileId& file) {
  return db_.change([&]() -> Status {
    db_.run("UPDATE files SET state = 2 WHERE id = $1 AND state = 0", file);
    return ok();
  });
}

Result<File> BatchStore::file(const AccountId& account, const FileId& id) {
  return db_.read([&]() -> Result<File> {
    Query row = db_.query("SELECT * FROM files WHERE id = $1 AND account = $2 AND state = 1", id, account);
    if (!row.next()) return no_such("file", id.value);
    return file_of(row);
  });
}

Result<std::vector<File>> BatchStore::list_files(const AccountId& account, std::string_view purpose,
                                                 const Page& page) {
  return db_.read([&]() -> Result<std::vector<File>> {
    std::int64_t before = kNewest;
    if (!page.after.empty()) {
      Query row = db_.query("SELECT number FROM files WHERE id = $1 AND account = $2 AND state = 1",
                            page.after, account);
      if (!row.next()) return no_such("file", page.after);
      before = row.integer(0);
    }
    std::vector<File> all;
    Query row = db_.query(
        "SELECT * FROM files WHERE account = $1 AND state = 1 AND number < $2 AND ($3 = '' OR purpose = $4)"
        " ORDER BY number DESC LIMIT $5",
        account, before, purpose, purpose, signed_of(page.limit));
    while (row.next()) all.push_back(file_of(row));
    return all;
  });
}

Status BatchStore::delete_file(const AccountId& account, const FileId& file) {
  return db_.change([&]() -> Status {
    if (Query row = db_.query(
            "SELECT id FROM batches WHERE account = $1 AND ended IS NULL AND input_file = $2", account, file);
        row.next())
      return fail(ErrorKind::conflict, "batch " + row.text(0) + " reads the file and has not ended");
    if (db_.run("UPDATE files SET state = 2 WHERE id = $1 AND account = $2 AND state = 1", file, account) ==
        0)
      return no_such("file", file.value);
    return ok();
  });
}

Result<std::optional<FilePiece>> BatchStore::piece(const FileId& file, std::int64_t from) {
  return db_.read([&]() -> Result<std::optional<FilePiece>> {
    Query row = db_.query(
        "SELECT number, body FROM file_pieces WHERE file = $1 AND number >= $2 ORDER BY number LIMIT 1", file,
        from);
    if (!row.next()) return std::nullopt;
    return FilePiece{row.integer(0), row.text(1)};
  });
}

Result<bool> BatchStore::sweep(WallTime now) {
  return db_.change([&]() -> Result<bool> {
    // Uploads that nobody will finish: their router has died. The files of batches at work are not meant.
    db_.run("UPDATE files SET state = 2 WHERE state = 0 AND purpose <> $1 AND created < $2", kOutput,
            now - kLongestUpload);
    FileId file;
    if (Query row = db_.query("SELECT id FROM files WHERE state = 2 ORDER BY number LIMIT 1"); row.next())
      file = FileId(row.text(0));
    if (file.empty()) return false;
    const std::int64_t removed = db_.run(
        "DELETE FROM file_pieces WHERE file = $1 AND number IN"
        " (SELECT number FROM file_pieces WHERE file = $2 ORDER BY number LIMIT $3)",
        file, file, signed_of(kSweptAtOnce));
    if (removed == 0) db_.run("DELETE FROM files WHERE id = $1", file);
    return true;
  });
}

// ---- batches ----

Result<Batch> BatchStore::create_batch(const BatchSpec& spec, WallTime now) {
  return db_.change([&]() -> Result<Batch> {
    const bool there =
        db_.query("SELECT 1 FROM files WHERE id = $1 AND account = $2 AND state = 1 AND purpose = 'batch'",
                  spec.input, spec.account)
            .next();
    if (!there) return no_such("file of purpose batch", spec.input.value);
    if (Query row =
            db_.query("SELECT count(*) FROM batches WHERE account = $1 AND ended IS NULL", spec.account);
        row.next() && row.integer(0) >= signed_of(kMaxUnendedBatches))
      return fail(ErrorKind::overloaded, "expected at most " + std::to_string(kMaxUnendedBatches) +
                                             " batches at a time; wait for one to end, or cancel one");
    if (auto status = room_for(db_, spec.account, 2); !status) return status.error();
    Batch batch;
    batch.id = BatchId(crypto::random_token("batch_", kIdCharacters));
    batch.spec = spec;
    batch.output = FileId(crypto::random_token("file_", kIdCharacters));
    batch.errors = FileId(crypto::random_token("file_", kIdCharacters));
    batch.created = now;
    db_.run(
        "INSERT INTO batches (id, account, api_key, input_file, endpoint, session, metadata, state, "
        "output_file,"
        " error_file, faults, total, completed, failed, created, expiry, router, epoch, until)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, '', 0, 0, 0, $10, $11, '', 0, $12)",
        batch.id, spec.account, spec.key_id, spec.input, spec.endpoint, spec.session, spec.metadata,
        batch.output, batch.errors, now, spec.expiry, now);
    for (const auto& [file, name] :
         {std::pair{batch.output, "_output.jsonl"}, {batch.errors, "_errors.jsonl"}})
      insert_file(db_, {file, spec.account, batch.id.value + name, std::string(kOutput), 0, now});
    return batch;
  });
}

Result<Batch> BatchStore::batch(const AccountId& account, const BatchId& id) {
  return db_.read([&]() -> Result<Batch> {
    Query row = db_.query("SELECT * FROM batches WHERE id = $1 AND account = $2", id, account);
    if (!row.next()) return no_such("batch", id.value);
    return batch_of(row);
  });
}

Result<std::vector<Batch>> BatchStore::list_batches(const AccountId& account, const Page& page) {
  return db_.read([&]() -> Result<std::vector<Batch>> {
    std::int64_t before = kNewest;
    if (!page.after.empty()) {
      Query row = db_.query("SELECT number FROM batches WHERE id = $1 AND account = $2", page.after, account);
      if (!row.next()) return no_such("batch", page.after);
      before = row.integer(0);
    }
    std::vector<Batch> all;
    Query row =
        db_.query("SELECT * FROM batches WHERE account = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
                  account, before, signed_of(page.limit));
    while (row.next()) all.push_back(batch_of(row));
    return all;
  });
}

Result<Batch> BatchStore::cancel_batch(const AccountId& account, const BatchId& id, WallTime now) {
  return db_.change_in_turn([&]() -> Result<Batch> {
    db_.run(
        "UPDATE batches SET state = $1, cancelled = $2 WHERE id = $3 AND account = $4 AND state IN (0, 1)",
        BatchState::cancelling, now, id, account);
    Query row = db_.query("SELECT * FROM batches WHERE id = $1 AND account = $2", id, account);
    if (!row.next()) return no_such("batch", id.value);
    Batch batch = batch_of(row);
    if (!batch.at_work())
      return fail(ErrorKind::conflict, "the batch has ended: it is " + std::string(to_string(batch.state)));
    return batch;
  });
}

// ---- batches at work ----

// In turn with settlements, as for sessions. What is kept is renewed in the second half of its time only.
Result<std::vector<Batch>> BatchStore::take_batches(const NodeId& router, WallTime until, WallTime free,
                                                    WallTime now) {
  if (auto status = check_node(router); !status) return status.error();
  const WallTime due = now + (until - now) / 2;
  const auto any = db_.read([&]() -> Result<bool> {
    return db_
        .query(
            "SELECT 1 FROM batches WHERE ended IS NULL AND ((router = $1 AND until < $2) OR"
            " (router <> $3 AND until <= $4)) LIMIT 1",
            router, due, router, now)
        .next();
  });
  if (!any) return any.error();
  if (*any) {
    const Status taken = db_.change_in_turn([&]() -> Status {
      db_.run("UPDATE batches SET until = $1 WHERE ended IS NULL AND router = $2", until, router);
      db_.run(
          "UPDATE batches SET router = $1, until = $2, epoch = epoch + 1 WHERE ended IS NULL AND router <> "
          "$3 AND"
          " until <= $4",
          router, until, router, free);
      return ok();
    });
    if (!taken) return taken.error();
  }
  return db_.read([&]() -> Result<std::vector<Batch>> {
    std::vector<Batch> all;
    Query row = db_.query(
        "SELECT * FROM batches WHERE ended IS NULL AND router = $1 AND until > $2 ORDER BY number LIMIT $3",
        router, now, signed_of(kMostTaken));
    while (row.next()) all.push_back(batch_of(row));
    return all;
  });
}

Status BatchStore::give_back(const BatchId& batch, std::uint64_t epoch, WallTime now) {
  return db_.change_in_turn([&]() -> Status {
    if (!ours(batch, epoch)) return not_ours(batch);
    db_.run("UPDATE batches SET router = '', until = $1 WHERE id = $2", now, batch);
    return ok();
  });
}

// Lines are made before a batch begins, and never again.
Status BatchStore::not_begun(const BatchId& batch, std::uint64_t epoch) {
  if (!ours(batch, epoch)) return not_ours(batch);
  if (db_.query("SELECT 1 FROM batches WHERE id = $1 AND begun IS NULL", batch).next()) return ok();
  return fail(ErrorKind::conflict, "batch " + batch.value + " has begun already");
}

bool BatchStore::ours(const BatchId& batch, std::uint64_t epoch) {
  return db_.query("SELECT 1 FROM batches WHERE id = $1 AND epoch = $2 AND ended IS NULL", batch, epoch)
      .next();
}

Status BatchStore::forget_lines(const BatchId& batch, std::uint64_t epoch) {
  return db_.change_in_turn([&]() -> Status {
    if (auto status = not_begun(batch, epoch); !status) return status;
    db_.run("DELETE FROM batch_lines WHERE batch = $1", batch);
    return ok();
  });
}

Status BatchStore::add_lines(const BatchId& batch, std::uint64_t epoch, std::span<const LinePlace> lines) {
  return db_.change_in_turn([&]() -> Status {
    if (auto status = not_begun(batch, epoch); !status) return status;
    for (const LinePlace& at : lines)
      db_.run(
          "INSERT INTO batch_lines (batch, line, piece, start, bytes, custom_id) VALUES ($1, $2, $3, $4, $5, "
          "$6)",
          batch, at.line, at.piece, at.start, at.bytes, at.custom_id);
    return ok();
  });
}

Status BatchStore::begin_batch(const BatchId& batch, std::uint64_t epoch, std::uint32_t total, WallTime now) {
  return db_.change_in_turn([&]() -> Status {
    if (auto status = not_begun(batch, epoch); !status) return status;
    db_.run("UPDATE batches SET total = $1, begun = $2 WHERE id = $3", total, now, batch);
    db_.run("UPDATE batches SET state = $1 WHERE id = $2 AND state = $3", BatchState::in_progress, batch,
            BatchState::validating);  // not one whose end was asked for meanwhile
    return ok();
  });
}

Status BatchStore::fail_batch(const BatchId& batch, std::uint64_t epoch, std::string_view faults,
                              WallTime now) {
  return db_.change_in_turn([&]() -> Status {
    if (auto status = not_begun(batch, epoch); !status) return status;
    db_.run("UPDATE batches SET state = $1, faults = $2, ended = $3 WHERE id = $4", BatchState::failed,
            faults, now, batch);
    db_.run(
        "DELETE FROM files WHERE id IN (SELECT output_file FROM batches WHERE id = $1 UNION"
        " SELECT error_file FROM batches WHERE id = $2)",
        batch, batch);
    return ok();
  });
}

std::optional<std::string> BatchStore::text_of_piece(const FileId& file, std::int64_t number) {
  Query row = db_.query("SELECT body FROM file_pieces WHERE file = $1 AND number = $2", file, number);
  if (!row.next()) return std::nullopt;
  return row.text(0);
}

Result<std::vector<PendingLine>> BatchStore::pending(const Batch& batch, std::uint32_t from,
                                                     std::size_t limit) {
  return db_.read([&]() -> Result<std::vector<PendingLine>> {
    std::vector<LinePlace> places;
    {
      Query row = db_.query(
          "SELECT line, piece, start, bytes, custom_id FROM batch_lines WHERE batch = $1 AND line >= $2"
          " ORDER BY line LIMIT $3",
          batch.id, from, signed_of(limit));
      while (row.next())
        places.push_back({row.number(0), row.integer(1), row.number(2), row.number(3), row.text(4)});
    }
    std::vector<PendingLine> lines;
    std::int64_t read = -1;
    std::optional<std::string> piece;
    for (LinePlace& at : places) {
      if (at.piece != read) piece = text_of_piece(batch.spec.input, read = at.piece);
      if (!piece || at.start > piece->size() || at.bytes > piece->size() - at.start) {
        db_.mark_corrupt("a line of batch " + batch.id.value + " is not in its file");
        break;
      }
      lines.push_back({at.line, std::move(at.custom_id), piece->substr(at.start, at.bytes)});
    }
    return lines;
  });
}

Status BatchStore::finish_lines(std::span<const LineResult> results) {
  return db_.change_in_turn([&]() -> Status {
    for (const LineResult& result : results) {
      if (!ours(result.batch, result.epoch)) return not_ours(result.batch);
      if (check_line(db_, result)) write_line(db_, result);
    }
    return ok();
  });
}

Result<BatchState> BatchStore::end_batch(const BatchId& id, std::uint64_t epoch, bool expired, WallTime now) {
  return db_.change_in_turn([&]() -> Result<BatchState> {
    if (!ours(id, epoch)) return not_ours(id);
    Batch batch;
    if (Query row = db_.query("SELECT * FROM batches WHERE id = $1", id); row.next()) batch = batch_of(row);
    if (db_.query("SELECT 1 FROM batch_lines WHERE batch = $1 LIMIT 1", id).next())
      return fail(ErrorKind::conflict, "batch " + id.value + " has lines to be done");
    const BatchState end = batch.state == BatchState::cancelling ? BatchState::cancelled
                           : expired                             ? BatchState::expired
                                                                 : BatchState::completed;
    db_.run("UPDATE batches SET state = $1, ended = $2 WHERE id = $3", end, now, id);
    for (const FileId& file : {batch.output, batch.errors})
      if (db_.run("UPDATE files SET state = 1 WHERE id = $1 AND lines > 0", file) == 0)
        db_.run("DELETE FROM files WHERE id = $1", file);
    return end;
  });
}

// ---- results ----

Status check_line(Database& db, const LineResult& result) {
  const bool waits =
      db.query(
            "SELECT 1 FROM batches JOIN batch_lines ON batch = id WHERE id = $1 AND epoch = $2 AND line = $3",
            result.batch, result.epoch, result.line)
          .next();
  if (waits) return ok();
  return fail(ErrorKind::cancelled, "line " + std::to_string(result.line + 1) + " of batch " +
                                        result.batch.value + " is done, or at another router");
}

void write_line(Database& db, const LineResult& result) {
  if (result.text.empty()) return;
  FileId file;
  if (Query row = db.query("SELECT output_file, error_file FROM batches WHERE id = $1", result.batch);
      row.next())
    file = FileId(row.text(result.completed ? 0 : 1));
  db.run("DELETE FROM batch_lines WHERE batch = $1 AND line = $2", result.batch, result.line);
  db.run("INSERT INTO file_pieces (file, number, body) VALUES ($1, $2, $3)", file, result.line, result.text);
  db.run("UPDATE files SET bytes = bytes + $1, lines = lines + 1 WHERE id = $2",
         signed_of(result.text.size()), file);
  if (result.completed)
    db.run("UPDATE batches SET completed = completed + 1 WHERE id = $1", result.batch);
  else
    db.run("UPDATE batches SET failed = failed + 1 WHERE id = $1", result.batch);
}

}  // namespace cortensor::ledger
