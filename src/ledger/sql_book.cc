// Reading the book, and the audit that adds it up anew.
#include <algorithm>
#include <limits>

#include "ledger/sql_ledger.h"

namespace cortensor::ledger {
namespace {

std::vector<Posting> postings_of(Query row) {
  std::vector<Posting> all;
  while (row.next()) {
    Posting posting{static_cast<std::uint64_t>(row.integer(0)),
                    row.one_of(1, EntryKind::reverse),
                    row.text(2),
                    Book(row.text(3)),
                    row.credits(4),
                    {},
                    row.time(6)};
    if (!row.is_null(5)) posting.party = row.one_of(5, Payment::Kind::router);
    all.push_back(std::move(posting));
  }
  return all;
}

// Each query finds at most one violation and yields its message.
constexpr const char* kViolations[] = {
    "SELECT 'entry ' || entry || ' sums to ' || sum(amount) || ', expected 0' FROM postings GROUP BY entry"
    " HAVING sum(amount) <> 0 LIMIT 1",

    "SELECT 'entry ' || id || ' has no postings' FROM entries"
    " WHERE NOT EXISTS (SELECT 1 FROM postings WHERE entry = entries.id) LIMIT 1",

    "SELECT 'balance of ' || book || ' is ' || coalesce(balances.amount, 0) || ', its postings sum to ' || "
    "total"
    " FROM (SELECT book, sum(amount) AS total FROM postings GROUP BY book) AS sums LEFT JOIN balances USING "
    "(book)"
    " WHERE coalesce(balances.amount, 0) <> total LIMIT 1",

    "SELECT 'balance of ' || book || ' is ' || amount || ' without postings' FROM balances"
    " WHERE amount <> 0 AND NOT EXISTS (SELECT 1 FROM postings WHERE postings.book = balances.book) LIMIT 1",

    "SELECT 'balance of ' || book || ' is negative: ' || amount FROM balances"
    " WHERE amount < 0 AND book <> 'external' LIMIT 1",

    "SELECT 'session ' || id || ' has ended and still holds ' || balances.amount FROM sessions"
    " JOIN balances ON book = 'hold:' || id WHERE state <> 0 AND balances.amount <> 0 LIMIT 1",

    "SELECT 'session ' || id || ' holds ' || coalesce(balances.amount, 0) || ', expected its budget ' || "
    "budget ||"
    " ' less ' || spent || ' spent' FROM sessions LEFT JOIN balances ON book = 'hold:' || id"
    " WHERE state = 0 AND coalesce(balances.amount, 0) <> budget - spent LIMIT 1",

    "SELECT 'session ' || id || ' spent ' || spent || ', its tasks were paid ' || paid FROM"
    " (SELECT sessions.id, spent, coalesce((SELECT sum(amount) FROM tasks JOIN postings USING (entry)"
    "   WHERE session = sessions.id AND reversal_reason IS NULL AND party IS NOT NULL), 0) AS paid FROM "
    "sessions) AS sums"
    " WHERE spent <> paid LIMIT 1",

    // The hold pays and only parties receive: one negative leg, on the task's own session, in an entry of its
    // name.
    "SELECT 'task ' || tasks.id || '/' || choice || ' does not match its entry ' || entry FROM tasks"
    " JOIN entries ON entries.id = entry WHERE kind <> 4 OR reference <> tasks.id || '/' || choice"
    " OR (SELECT count(*) FROM postings WHERE postings.entry = tasks.entry AND party IS NULL"
    "     AND book = 'hold:' || session AND amount < 0) <> 1"
    " OR EXISTS (SELECT 1 FROM postings WHERE postings.entry = tasks.entry"
    "     AND (party IS NULL) <> (book = 'hold:' || session)) LIMIT 1",

    "SELECT 'entry ' || id || ' settles a task that is not recorded' FROM entries"
    " WHERE kind = 4 AND NOT EXISTS (SELECT 1 FROM tasks WHERE entry = entries.id) LIMIT 1",

    // A reversal undoes each payment exactly.
    "SELECT 'task ' || tasks.id || '/' || choice || ' is marked reversed, its postings differ' FROM tasks"
    " WHERE reversal_reason IS NOT NULL AND EXISTS (SELECT book FROM postings JOIN entries ON entries.id = "
    "entry"
    "   WHERE reference = tasks.id || '/' || choice AND kind IN (4, 5) AND party IS NOT NULL"
    "   GROUP BY book, party HAVING sum(amount) <> 0) LIMIT 1",

    "SELECT 'entry ' || entries.id || ' reverses a task that is not marked so' FROM entries WHERE kind = 5 "
    "AND NOT"
    " EXISTS (SELECT 1 FROM tasks WHERE tasks.id || '/' || choice = reference AND reversal_reason IS NOT "
    "NULL) LIMIT 1",

    "SELECT 'postings in book ' || book || ', which belongs to nobody' FROM postings WHERE NOT (book = "
    "'external'"
    " OR book LIKE 'node:%' OR EXISTS (SELECT 1 FROM accounts WHERE id = book)"
    " OR EXISTS (SELECT 1 FROM sessions WHERE 'hold:' || id = book)) LIMIT 1",
};

}  // namespace

Result<std::vector<Posting>> SqlLedger::postings(const Book& book, std::size_t limit) {
  const auto rows =
      static_cast<std::int64_t>(std::min<std::size_t>(limit, std::numeric_limits<std::int32_t>::max()));
  return db_.read([&]() -> Result<std::vector<Posting>> {
    return postings_of(
        db_.query("SELECT * FROM posting_rows WHERE book = $1 ORDER BY number DESC LIMIT $2", book, rows));
  });
}

Result<std::vector<Posting>> SqlLedger::postings(const TaskId& task) {
  return db_.read([&]() -> Result<std::vector<Posting>> {
    return postings_of(
        db_.query("SELECT * FROM posting_rows WHERE kind IN (4, 5) AND reference IN"
                  " (SELECT id || '/' || choice FROM tasks WHERE id = $1) ORDER BY number",
                  task));
  });
}

Result<Credits> SqlLedger::balance(const Book& book) {
  return db_.read([&]() -> Result<Credits> { return amount_in(book); });
}

std::string SqlLedger::first_violation() {
  if (std::string damage = db_.damage(); !damage.empty()) return damage;
  for (const char* sql : kViolations)
    if (Query row = db_.query(sql); row.next()) return row.text(0);
  return {};
}

Result<AuditReport> SqlLedger::audit() {
  return db_.read([&]() -> Result<AuditReport> {
    AuditReport report;
    Query counts = db_.query(
        "SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM postings), (SELECT count(*) FROM "
        "tasks)");
    if (counts.next()) {
      report.entries = static_cast<std::uint64_t>(counts.integer(0));
      report.postings = static_cast<std::uint64_t>(counts.integer(1));
      report.tasks = static_cast<std::uint64_t>(counts.integer(2));
    }
    report.violation = first_violation();
    return report;
  });
}

}  // namespace cortensor::ledger
