// A file on its way from a client into the store: a form read as it arrives, cut into pieces of whole lines.
// Of a file of any length little more than its longest line is in memory. On the executor. Spec:
// docs/spec/http-api.md, 8
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "http/message.h"
#include "http/multipart.h"
#include "ledger/batch_thread.h"
#include "router/api/body_reader.h"

namespace cortensor::router {

inline constexpr std::uint64_t kMaxFileBytes = 100 * 1024 * 1024;  // 50,000 lines of 2 KiB

class FileUpload final : public http::BodySink, public std::enable_shared_from_this<FileUpload> {
 public:
  // `reader`: why the body is thrown away, if it is. The store outlives the upload; `over` is called at its
  // end.
  FileUpload(AccountId account, Result<http::MultipartReader> reader, ledger::BatchThread& store,
             WallTime now, std::function<void()> over);
  ~FileUpload() override;

  std::uint64_t limit() const override;
  void take(std::string_view piece) override;
  bool ready() const override { return storing_ <= kMostStoring; }
  bool wanted() const override { return !problem_; }

  // Once the whole body is there.
  void finish(std::function<void(const Parsed<ledger::File>&)> done);

 private:
  static constexpr std::size_t kMostStoring = 2;  // pieces

  void on_part(const http::MultipartReader::Part& part);
  void on_data(std::string_view data);
  void cut(bool last);
  void store_piece(std::string text);
  void refuse(ErrorKind kind, std::string message, std::string param);

  ledger::File file_;
  Result<http::MultipartReader> reader_;
  ledger::BatchThread& store_;
  const std::function<void()> over_;
  std::optional<ApiError> problem_;
  std::string part_;  // the name of the present one
  std::string purpose_;
  bool begun_ = false;
  std::uint64_t received_ = 0;
  std::uint64_t lines_ = 0;   // cut so far
  std::string pending_;       // not cut yet
  std::size_t scanned_ = 0;   // of it, without a line end behind the last known one
  std::size_t line_end_ = 0;  // behind the last one
  std::size_t storing_ = 0;
  bool finished_ = false;  // the store has it whole
};

}  // namespace cortensor::router
