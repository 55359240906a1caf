// The tables of the ledger in PostgreSQL, as steps from one version to the next: those of sqlite_schema.h, in
// the server's words. A published step never changes. Private to the folder.
#pragma once

#include <array>

namespace cortensor::ledger {

inline constexpr std::array<const char*, 4> kPostgresMigrations = {
    R"sql(
CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL UNIQUE,
  created BIGINT NOT NULL
);

CREATE TABLE api_keys (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  secret_hash BYTEA NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
  account TEXT NOT NULL REFERENCES accounts (id),
  label TEXT NOT NULL,
  revoked BIGINT NOT NULL CHECK (revoked IN (0, 1)),
  created BIGINT NOT NULL
);
CREATE INDEX api_keys_by_account ON api_keys (account);

CREATE TABLE prices (
  model TEXT PRIMARY KEY,
  prompt BIGINT NOT NULL CHECK (prompt >= 0),
  completion BIGINT NOT NULL CHECK (completion >= 0)
);

-- The book. Entries and postings are only ever added; balances are their sums, kept so that money can be checked
-- without adding everything up.
CREATE TABLE entries (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind BIGINT NOT NULL CHECK (kind BETWEEN 0 AND 5),
  reference TEXT NOT NULL,
  at BIGINT NOT NULL,
  UNIQUE (reference, kind)
);
CREATE TABLE postings (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  entry BIGINT NOT NULL REFERENCES entries (id),
  book TEXT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount <> 0),
  party BIGINT CHECK (party BETWEEN 0 AND 2)
);
CREATE INDEX postings_by_entry ON postings (entry);
CREATE INDEX postings_by_book ON postings (book);
CREATE TABLE balances (
  book TEXT PRIMARY KEY,
  amount BIGINT NOT NULL CHECK (amount >= 0 OR book = 'external')
);
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION '% are final', TG_TABLE_NAME; END $$;
CREATE TRIGGER entries_final BEFORE UPDATE OR DELETE OR TRUNCATE ON entries EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_final BEFORE UPDATE OR DELETE OR TRUNCATE ON postings EXECUTE FUNCTION refuse_change();

CREATE TABLE sessions (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL REFERENCES accounts (id),
  model TEXT NOT NULL,
  budget BIGINT NOT NULL CHECK (budget > 0),
  max_prompt_price BIGINT,
  max_completion_price BIGINT,
  level BIGINT NOT NULL CHECK (level BETWEEN 0 AND 3),
  spot_ppm BIGINT NOT NULL,
  quorum_k BIGINT NOT NULL,
  quorum_n BIGINT NOT NULL,
  redundancy BIGINT NOT NULL,
  expiry BIGINT NOT NULL,
  label TEXT NOT NULL,
  implicit BIGINT NOT NULL CHECK (implicit IN (0, 1)),
  state BIGINT NOT NULL CHECK (state BETWEEN 0 AND 2),
  spent BIGINT NOT NULL CHECK (spent BETWEEN 0 AND budget),
  opened BIGINT NOT NULL,
  ended BIGINT,
  CHECK ((state = 0) = (ended IS NULL))
);
CREATE INDEX sessions_by_account ON sessions (account);
CREATE INDEX open_sessions_by_expiry ON sessions (expiry) WHERE state = 0;

-- entry is NULL for a task that nobody was paid for.
CREATE TABLE tasks (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id TEXT NOT NULL,
  choice BIGINT NOT NULL CHECK (choice >= 0),
  session TEXT NOT NULL REFERENCES sessions (id),
  entry BIGINT UNIQUE REFERENCES entries (id),
  prompt_tokens BIGINT NOT NULL,
  completion_tokens BIGINT NOT NULL,
  outcome BIGINT NOT NULL CHECK (outcome BETWEEN 0 AND 4),
  receipt BYTEA NOT NULL CHECK (length(receipt) = 32),
  settled BIGINT NOT NULL,
  reversal_reason TEXT CHECK (reversal_reason IS NULL OR entry IS NOT NULL),
  UNIQUE (id, choice)
);
CREATE INDEX tasks_by_session ON tasks (session);

CREATE TABLE nodes (
  id TEXT COLLATE "C" PRIMARY KEY,
  first_seen BIGINT NOT NULL,
  last_seen BIGINT NOT NULL,
  strikes BIGINT NOT NULL DEFAULT 0 CHECK (strikes >= 0),
  quarantined BIGINT NOT NULL DEFAULT 0 CHECK (quarantined IN (0, 1)),
  reason TEXT NOT NULL DEFAULT '',
  evidence BYTEA CHECK (length(evidence) = 32)
);
CREATE TABLE admissions (
  node TEXT NOT NULL REFERENCES nodes (id),
  role BIGINT NOT NULL CHECK (role BETWEEN 0 AND 1),
  PRIMARY KEY (node, role)
);
CREATE TABLE join_tokens (
  secret_hash BYTEA PRIMARY KEY CHECK (length(secret_hash) = 32),
  role BIGINT NOT NULL CHECK (role BETWEEN 0 AND 1),
  expiry BIGINT NOT NULL,
  uses_left BIGINT NOT NULL CHECK (uses_left >= 0)
);

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
ALTER TABLE sessions ADD COLUMN min_tokens_per_second BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN max_first_token_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN min_reliability_ppm BIGINT NOT NULL DEFAULT 0;
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
  epoch BIGINT NOT NULL CHECK (epoch > 0),
  until BIGINT NOT NULL
);
)sql",
    R"sql(
-- Texts that clients have sent and that batches make, in pieces that end with a line. state: 0 unfinished, 1 whole,
-- 2 deleted, its pieces still to be removed.
CREATE TABLE files (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL REFERENCES accounts (id),
  name TEXT NOT NULL,
  purpose TEXT NOT NULL,
  state BIGINT NOT NULL CHECK (state BETWEEN 0 AND 2),
  bytes BIGINT NOT NULL,
  lines BIGINT NOT NULL,
  created BIGINT NOT NULL
);
CREATE INDEX files_by_account ON files (account);
CREATE INDEX files_not_whole ON files (state) WHERE state <> 1;
CREATE TABLE file_pieces (
  file TEXT NOT NULL REFERENCES files (id),
  number BIGINT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (file, number)
);

-- The router and the epoch are as in session_leases.
CREATE TABLE batches (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL REFERENCES accounts (id),
  api_key TEXT NOT NULL,
  input_file TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  session TEXT NOT NULL,
  metadata TEXT NOT NULL,
  state BIGINT NOT NULL CHECK (state BETWEEN 0 AND 6),
  output_file TEXT NOT NULL,
  error_file TEXT NOT NULL,
  faults TEXT NOT NULL,
  total BIGINT NOT NULL,
  completed BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  created BIGINT NOT NULL,
  expiry BIGINT NOT NULL,
  begun BIGINT,
  cancelled BIGINT,
  ended BIGINT,
  router TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  until BIGINT NOT NULL
);
CREATE INDEX batches_by_account ON batches (account);
CREATE INDEX batches_at_work ON batches (state) WHERE ended IS NULL;
-- Lines that have no result yet, and where they lie in the input file.
CREATE TABLE batch_lines (
  batch TEXT NOT NULL REFERENCES batches (id),
  line BIGINT NOT NULL,
  piece BIGINT NOT NULL,
  start BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  custom_id TEXT NOT NULL,
  PRIMARY KEY (batch, line)
);
)sql"};

}  // namespace cortensor::ledger
