// /v1/files: what batches read and write. Spec: docs/spec/http-api.md, 8
#include "http/status_map.h"
#include "router/api/api.h"
#include "router/api/pages.h"

namespace cortensor::router {
namespace {

constexpr std::size_t kDefaultPage = 1000, kMaxPage = 1000;
constexpr std::size_t kUploadsAtOnce = 4;  // of an account
constexpr std::size_t kSlice = 64 * 1024;  // of a stream, at a time

Json file_json(const ledger::File& file) {
  return {{"id", file.id.value},      {"object", "file"},
          {"bytes", file.bytes},      {"created_at", time_json(file.created)},
          {"expires_at", nullptr},    {"filename", file.name},
          {"purpose", file.purpose},  {"status", "processed"},
          {"status_details", nullptr}};
}

// A file on its way to a client, as fast as that reads.
class Download : public std::enable_shared_from_this<Download> {
 public:
  Download(ledger::BatchThread& store, ledger::FileId file, http::Stream stream)
      : store_(store), file_(std::move(file)), stream_(std::move(stream)) {}

  void next() {
    if (!stream_.open()) return;
    if (sent_ < piece_.text.size()) {
      const std::string_view rest = std::string_view(piece_.text).substr(sent_, kSlice);
      sent_ += rest.size();
      if (stream_.write(rest)) stream_.when_drained([self = shared_from_this()] { self->next(); });
      return;
    }
    store_.run([file = file_,
                from = piece_.number + 1](ledger::BatchStore& store) { return store.piece(file, from); },
               [self = shared_from_this()](Result<std::optional<ledger::FilePiece>> piece) {
                 if (!piece) return;  // the last one to hold the stream: it is cut, not ended
                 if (!*piece) return self->stream_.finish();
                 self->piece_ = std::move(**piece);
                 self->sent_ = 0;
                 self->next();
               });
  }

 private:
  ledger::BatchThread& store_;
  const ledger::FileId file_;
  http::Stream stream_;
  ledger::FilePiece piece_{-1, {}};
  std::size_t sent_ = 0;
};

}  // namespace

std::shared_ptr<http::BodySink> Api::sink_for(const http::Request& head) {
  if (desk_ == nullptr || head.method != "POST" || head.path != "/v1/files") return nullptr;
  const auto caller = authenticate(head);
  const AccountId account = caller ? caller->account : AccountId();
  Result<http::MultipartReader> reader =
      caller ? http::MultipartReader::of_content_type(head.header("Content-Type").value_or(""))
             : Result<http::MultipartReader>(caller.error());
  std::size_t& open = uploads_[account];
  if (reader && open >= kUploadsAtOnce)
    reader = fail(ErrorKind::overloaded,
                  "expected at most " + std::to_string(kUploadsAtOnce) + " uploads at a time");
  ++open;
  return std::make_shared<FileUpload>(account, std::move(reader), desk_->store, core_.executor().wall_now(),
                                      [this, alive = alive_, account] {
                                        if (*alive && --uploads_[account] == 0) uploads_.erase(account);
                                      });
}

void Api::upload_file(const Caller&, http::Request& request, http::Responder& responder) {
  const auto upload = std::dynamic_pointer_cast<FileUpload>(request.sink);
  if (!upload) return respond_error(responder, fail(ErrorKind::invalid_input, "expected the path /v1/files"));
  upload->finish([responder, upload](const Parsed<ledger::File>& file) {
    if (!file) return respond_error(responder, file.error());
    respond_json(responder, file_json(*file));
  });
}

void Api::list_files(const Caller& caller, http::Request& request, http::Responder& responder) {
  const auto page = page_of(request, kDefaultPage, kMaxPage);
  if (!page) return respond_error(responder, page.error());
  const auto purpose = request.query_value("purpose");
  if (!purpose) return respond_error(responder, purpose.error(), "purpose");
  const auto order = request.query_value("order");
  if (!order || order->value_or("desc") != "desc")
    return respond_error(responder, fail(ErrorKind::unsupported, "order: expected desc"), "order");
  desk_->store.run(
      [account = caller.account, page = *page, purpose = purpose->value_or("")](ledger::BatchStore& store) {
        return store.list_files(account, purpose, {page.limit + 1, page.after});
      },
      [responder, page = *page](const Result<std::vector<ledger::File>>& files) {
        if (!files) return respond_error(responder, files.error(), page.after.empty() ? "" : "after");
        Json rows = Json::array();
        for (const ledger::File& file : *files) rows.push_back(file_json(file));
        respond_json(responder, list_json(std::move(rows), page));
      });
}

void Api::show_file(const Caller& caller, http::Request& request, http::Responder& responder) {
  desk_->store.run([account = caller.account, id = ledger::FileId(std::string(request.path_variable("id")))](
                       ledger::BatchStore& store) { return store.file(account, id); },
                   [responder](const Result<ledger::File>& file) {
                     if (!file) return respond_error(responder, file.error());
                     respond_json(responder, file_json(*file));
                   });
}

void Api::file_content(const Caller& caller, http::Request& request, http::Responder& responder) {
  desk_->store.run(
      [account = caller.account, id = ledger::FileId(std::string(request.path_variable("id")))](
          ledger::BatchStore& store) { return store.file(account, id); },
      [responder, desk = desk_, alive = alive_](const Result<ledger::File>& file) {
        if (!*alive) return;
        if (!file) return respond_error(responder, file.error());
        auto stream = responder.start_stream(200, {{"Content-Type", "application/octet-stream"}});
        std::make_shared<Download>(desk->store, file->id, std::move(stream))->next();
      });
}

void Api::delete_file(const Caller& caller, http::Request& request, http::Responder& responder) {
  const ledger::FileId id(std::string(request.path_variable("id")));
  desk_->store.run(
      [account = caller.account, id](ledger::BatchStore& store) { return store.delete_file(account, id); },
      [responder, id](const Status& deleted) {
        if (!deleted) return respond_error(responder, deleted.error());
        respond_json(responder, {{"id", id.value}, {"object", "file"}, {"deleted", true}});
      });
}

}  // namespace cortensor::router
