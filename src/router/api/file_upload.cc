#include "router/api/file_upload.h"

#include <algorithm>

#include "crypto/random.h"
#include "router/api/batch_line.h"

namespace cortensor::router {
namespace {

constexpr std::size_t kPieceBytes = 256 * 1024;
constexpr std::uint64_t kFormBytes = 64 * 1024;  // around the file
constexpr std::size_t kMaxPurpose = 64;

}  // namespace

FileUpload::FileUpload(AccountId account, Result<http::MultipartReader> reader, ledger::BatchThread& store,
                       WallTime now, std::function<void()> over)
    : reader_(std::move(reader)), store_(store), over_(std::move(over)) {
  file_.id = ledger::FileId(crypto::random_token("file_", 22));
  file_.account = std::move(account);
  file_.created = now;
  if (!reader_) problem_ = ApiError{reader_.error(), {}};
}

FileUpload::~FileUpload() {
  if (begun_ && !finished_)
    store_.run([id = file_.id](ledger::BatchStore& store) { static_cast<void>(store.drop_file(id)); });
  over_();
}

std::uint64_t FileUpload::limit() const {
  return kMaxFileBytes + kFormBytes;
}

void FileUpload::refuse(ErrorKind kind, std::string message, std::string param) {
  if (problem_) return;
  problem_ = ApiError{fail(kind, std::move(message)), std::move(param)};
  pending_ = {};
}

// After a mistake the rest is read and thrown away, since many a client reads no answer before it has sent
// all.
void FileUpload::take(std::string_view piece) {
  if (problem_) return;
  const Status fed = reader_->feed(
      piece, {[this](const auto& part) { on_part(part); }, [this](std::string_view data) { on_data(data); }});
  if (!fed) refuse(fed.error().kind, fed.error().message, {});
}

void FileUpload::on_part(const http::MultipartReader::Part& part) {
  part_ = part.name;
  if (part_ != "file" || problem_) return;
  if (begun_) return refuse(ErrorKind::invalid_input, "file: is there twice", "file");
  file_.name = part.filename.value_or("");
  if (const Status fine = ledger::check_text("file name", file_.name); !fine || file_.name.empty())
    return refuse(ErrorKind::invalid_input, "file: expected a file name of 1 to 512 bytes of UTF-8", "file");
  begun_ = true;
  file_.purpose = "batch";
  ++storing_;
  store_.run([file = file_](ledger::BatchStore& store) { return store.begin_file(file); },
             [self = shared_from_this()](const Status& stored) {
               --self->storing_;
               if (!stored) self->refuse(stored.error().kind, stored.error().message, "file");
             });
}

void FileUpload::on_data(std::string_view data) {
  if (problem_) return;
  if (part_ == "purpose")
    purpose_ += data.substr(0, kMaxPurpose + 1 - std::min(purpose_.size(), kMaxPurpose));
  if (part_ != "file") return;
  received_ += data.size();
  if (received_ > kMaxFileBytes)
    return refuse(ErrorKind::invalid_input, "file: longer than " + std::to_string(kMaxFileBytes) + " bytes",
                  "file");
  pending_ += data;
  cut(false);
}

// Behind the last line end, once there is enough; at the end, all that is left.
void FileUpload::cut(bool last) {
  if (const std::size_t found = pending_.rfind('\n'); found != pending_.npos && found >= scanned_)
    line_end_ = found + 1;
  scanned_ = pending_.size();
  if (pending_.size() - line_end_ > kMaxLineBytes) {
    lines_ += static_cast<std::uint64_t>(
        std::count(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(line_end_), '\n'));
    return refuse(ErrorKind::invalid_input,
                  "file: line " + std::to_string(lines_ + 1) + " is longer than " +
                      std::to_string(kMaxLineBytes) + " bytes",
                  "file");
  }
  const std::size_t size = last ? pending_.size() : line_end_;
  if (size == 0 || (!last && size < kPieceBytes)) return;
  std::string text = pending_.substr(0, size);
  pending_.erase(0, size);
  scanned_ = pending_.size();
  line_end_ = 0;
  lines_ += static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  store_piece(std::move(text));
}

void FileUpload::store_piece(std::string text) {
  ++storing_;
  store_.run([id = file_.id,
              text = std::move(text)](ledger::BatchStore& store) { return store.add_piece(id, text); },
             [weak = weak_from_this()](const Status& stored) {
               const auto self = weak.lock();
               if (!self) return;  // its client has gone
               --self->storing_;
               if (!stored) self->refuse(stored.error().kind, stored.error().message, "file");
               if (self->ready() && self->resume) self->resume();
             });
}

void FileUpload::finish(std::function<void(const Parsed<ledger::File>&)> done) {
  if (!problem_) cut(true);
  if (reader_ && !reader_->complete())
    refuse(ErrorKind::invalid_input, "multipart/form-data: it breaks off before its end", {});
  if (!begun_) refuse(ErrorKind::invalid_input, "file: is missing", "file");
  if (purpose_ != "batch") refuse(ErrorKind::invalid_input, "purpose: expected batch", "purpose");
  if (problem_) return done(tl::unexpected<ApiError>(*problem_));
  // Behind the pieces, which are stored in order; what was wrong with one of them is known then.
  store_.run([](ledger::BatchStore&) { return true; },
             [self = shared_from_this(), done = std::move(done)](bool) {
               if (self->problem_) return done(tl::unexpected<ApiError>(*self->problem_));
               self->finished_ = true;
               self->store_.run(
                   [id = self->file_.id](ledger::BatchStore& store) {
                     auto whole = store.finish_file(id, "batch");
                     if (!whole) static_cast<void>(store.drop_file(id));
                     return whole;
                   },
                   [done](Result<ledger::File> file) {
                     if (!file) return done(refused(std::move(file).error()));
                     done(*file);
                   });
             });
}

}  // namespace cortensor::router
