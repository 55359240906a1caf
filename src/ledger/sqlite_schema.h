// The tables of the SQLite ledger, as steps from one version to the next. A published step never changes.
// Private to the folder; docs/spec/ledger.md, 5 explains the tables.
#pragma once

#include <array>
#include <cstdint>

namespace cortensor::ledger {

// PRAGMA application_id of our files: "CTLG".
inline constexpr std::int64_t kSqliteApplicationId = 0x43544c47;

inline constexpr std::array<const char*, 4> kSqliteMigrations = {
    R"sql(
CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  secret_hash BLOB NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
  account TEXT NOT NULL REFERENCES accounts (id),
  label TEXT NOT NULL,
  revoked INTEGER NOT NULL CHECK (revoked IN (0, 1)),
  created INTEGER NOT NULL
) STRICT;
CREATE INDEX api_keys_by_account ON api_keys (account);

CREATE TABLE prices (
  model TEXT PRIMARY KEY,
  prompt INTEGER NOT NULL CHECK (prompt >= 0),
  completion INTEGER NOT NULL CHECK (completion >= 0)
) STRICT, WITHOUT ROWID;

-- The book. Entries and postings are only ever added; balances are their sums, kept so that money can be checked
-- without adding everything up.
CREATE TABLE entries (
  id INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 5),
  reference TEXT NOT NULL,
  at INTEGER NOT NULL,
  UNIQUE (reference, kind)
) STRICT;
CREATE TABLE postings (
  id INTEGER PRIMARY KEY,
  entry INTEGER NOT NULL REFERENCES entries (id),
  book TEXT NOT NULL,
  amount INTEGER NOT NULL CHECK (amount <> 0),
  party INTEGER CHECK (party BETWEEN 0 AND 2)
) STRICT;
CREATE INDEX postings_by_entry ON postings (entry);
CREATE INDEX postings_by_book ON postings (book);
CREATE TABLE balances (
  book TEXT PRIMARY KEY,
  amount INTEGER NOT NULL CHECK (amount >= 0 OR book = 'external')
) STRICT, WITHOUT ROWID;
CREATE TRIGGER entries_stay BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are final'); END;
CREATE TRIGGER entries_final BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are final'); END;
CREATE TRIGGER postings_stay BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'postings are final'); END;
CREATE TRIGGER postings_final BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'postings are final'); END;

CREATE TABLE sessions (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL REFERENCES accounts (id),
  model TEXT NOT NULL,
  budget INTEGER NOT NULL CHECK (budget > 0),
  max_prompt_price INTEGER,
  max_completion_price INTEGER,
  level INTEGER NOT NULL CHECK (level BETWEEN 0 AND 3),
  spot_ppm INTEGER NOT NULL,
  quorum_k INTEGER NOT NULL,
  quorum_n INTEGER NOT NULL,
  redundancy INTEGER NOT NULL,
  expiry INTEGER NOT NULL,
  label TEXT NOT NULL,
  implicit INTEGER NOT NULL CHECK (implicit IN (0, 1)),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  spent INTEGER NOT NULL CHECK (spent BETWEEN 0 AND budget),
  opened INTEGER NOT NULL,
  ended INTEGER,
  CHECK ((state = 0) = (ended IS NULL))
) STRICT;
CREATE INDEX sessions_by_account ON sessions (account);
CREATE INDEX open_sessions_by_expiry ON sessions (expiry) WHERE state = 0;

-- entry is NULL for a task that nobody was paid for.
CREATE TABLE tasks (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  choice INTEGER NOT NULL CHECK (choice >= 0),
  session TEXT NOT NULL REFERENCES sessions (id),
  entry INTEGER UNIQUE REFERENCES entries (id),
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  outcome INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 4),
  receipt BLOB NOT NULL CHECK (length(receipt) = 32),
  settled INTEGER NOT NULL,
  reversal_reason TEXT CHECK (reversal_reason IS NULL OR entry IS NOT NULL),
  UNIQUE (id, choice)
) STRICT;
CREATE INDEX tasks_by_session ON tasks (session);

CREATE TABLE nodes (
  id TEXT PRIMARY KEY,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  strikes INTEGER NOT NULL DEFAULT 0 CHECK (strikes >= 0),
  quarantined INTEGER NOT NULL DEFAULT 0 CHECK (quarantined IN (0, 1)),
  reason TEXT NOT NULL DEFAULT '',
  evidence BLOB CHECK (length(evidence) = 32)
) STRICT, WITHOUT ROWID;
CREATE TABLE admissions (
  node TEXT NOT NULL REFERENCES nodes (id),
  role INTEGER NOT NULL CHECK (role BETWEEN 0 AND 1),
  PRIMARY KEY (node, role)
) STRICT, WITHOUT ROWID;
CREATE TABLE join_tokens (
  secret_hash BLOB PRIMARY KEY CHECK (length(secret_hash) = 32),
  role INTEGER NOT NULL CHECK (role BETWEEN 0 AND 1),
  expiry INTEGER NOT NULL,
  uses_left INTEGER NOT NULL CHECK (uses_left >= 0)
) STRICT, WITHOUT ROWID;

-- Rows as the code reads them, balances joined in.
CREATE VIEW account_rows AS
  SELECT id, name, coalesce(balances.amount, 0), created
  FROM accounts LEFT JOIN balances ON book = id;
CREATE VIEW session_rows AS
  SELECT id, account, model, budget, max_prompt_price, max_completion_price, level, spot_ppm, quorum_k, quorum_n,
         redundancy, expiry, label, implicit, state, coalesce(balances.amount, 0), spent, opened, ended, number
  FROM sessions LEFT JOIN balances ON book = 'hold:' || id;
CREATE VIEW node_rows AS
  SELECT id, first_seen, last_seen, strikes, quarantined, reason, evidence, coalesce(balances.amount, 0)
  FROM nodes LEFT JOIN balances ON book = 'node:' || id;
CREATE VIEW posting_rows AS
  SELECT entry, kind, reference, book, amount, party, at, postings.id AS number
  FROM postings JOIN entries ON entries.id = entry;
)sql",
    R"sql(
-- What a session asks of its miners; the ids of named ones, separated by spaces.
ALTER TABLE sessions ADD COLUMN min_tokens_per_second INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN max_first_token_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN min_reliability_ppm INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN miners TEXT NOT NULL DEFAULT '';
DROP VIEW session_rows;
CREATE VIEW session_rows AS
  SELECT id, account, model, budget, max_prompt_price, max_completion_price, level, spot_ppm, quorum_k, quorum_n,
         redundancy, expiry, label, implicit, state, coalesce(balances.amount, 0), spent, opened, ended, number,
         min_tokens_per_second, max_first_token_ms, min_reliability_ppm, miners
  FROM sessions LEFT JOIN balances ON book = 'hold:' || id;
)sql",
    R"sql(
-- Which router has a session, and the number of owners it has had.
CREATE TABLE session_leases (
  session TEXT PRIMARY KEY REFERENCES sessions (id),
  router TEXT NOT NULL,
  epoch INTEGER NOT NULL CHECK (epoch > 0),
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
)sql",
    R"sql(
-- Texts that clients have sent and that batches make, in pieces that end with a line. state: 0 unfinished, 1 whole,
-- 2 deleted, its pieces still to be removed.
CREATE TABLE files (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL REFERENCES accounts (id),
  name TEXT NOT NULL,
  purpose TEXT NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  bytes INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  created INTEGER NOT NULL
) STRICT;
CREATE INDEX files_by_account ON files (account);
CREATE INDEX files_not_whole ON files (state) WHERE state <> 1;
CREATE TABLE file_pieces (
  file TEXT NOT NULL REFERENCES files (id),
  number INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (file, number)
) STRICT;

-- The router and the epoch are as in session_leases.
CREATE TABLE batches (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL REFERENCES accounts (id),
  api_key TEXT NOT NULL,
  input_file TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  session TEXT NOT NULL,
  metadata TEXT NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 6),
  output_file TEXT NOT NULL,
  error_file TEXT NOT NULL,
  faults TEXT NOT NULL,
  total INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  created INTEGER NOT NULL,
  expiry INTEGER NOT NULL,
  begun INTEGER,
  cancelled INTEGER,
  ended INTEGER,
  router TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  until INTEGER NOT NULL
) STRICT;
CREATE INDEX batches_by_account ON batches (account);
CREATE INDEX batches_at_work ON batches (state) WHERE ended IS NULL;
-- Lines that have no result yet, and where they lie in the input file.
CREATE TABLE batch_lines (
  batch TEXT NOT NULL REFERENCES batches (id),
  line INTEGER NOT NULL,
  piece INTEGER NOT NULL,
  start INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  custom_id TEXT NOT NULL,
  PRIMARY KEY (batch, line)
) STRICT, WITHOUT ROWID;
)sql"};

}  // namespace cortensor::ledger
