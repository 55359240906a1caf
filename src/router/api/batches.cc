// /v1/batches: many requests in one, when there is time. Spec: docs/spec/http-api.md, 8
#include "router/api/api.h"
#include "router/api/batch_line.h"
#include "router/api/pages.h"

namespace cortensor::router {
namespace {

constexpr std::size_t kDefaultPage = 20, kMaxPage = 100;
constexpr std::chrono::hours kWindow{24};
constexpr std::size_t kMaxId = 256;
constexpr std::size_t kMaxMetadata = 16, kMaxMetadataKey = 64, kMaxMetadataValue = 512;

std::string read_metadata(BodyReader& body) {
  const Json* metadata = body.field("metadata");
  if (metadata == nullptr) return "null";
  const auto fits = [](const auto& item) {
    return item.key().size() <= kMaxMetadataKey && item.value().is_string() &&
           item.value().template get_ref<const std::string&>().size() <= kMaxMetadataValue;
  };
  const auto items = metadata->items();
  if (!metadata->is_object() || metadata->size() > kMaxMetadata ||
      !std::all_of(items.begin(), items.end(), fits))
    body.refuse("metadata", "expected at most 16 texts of up to 512 bytes, with names of up to 64");
  return metadata->dump(-1, ' ', true, Json::error_handler_t::replace);
}

Json batch_json(const ledger::Batch& batch) {
  using ledger::BatchState;
  const auto ended_as = [&](BatchState state) {
    return time_json(batch.state == state ? batch.ended : std::nullopt);
  };
  const bool done = batch.ended && batch.state != BatchState::failed;
  Json errors;
  if (!batch.faults.empty())
    errors = {{"object", "list"}, {"data", Json::parse(batch.faults, nullptr, false)}};
  return {
      {"id", batch.id.value},
      {"object", "batch"},
      {"endpoint", batch.spec.endpoint},
      {"errors", std::move(errors)},
      {"input_file_id", batch.spec.input.value},
      {"completion_window", "24h"},
      {"status", ledger::to_string(batch.state)},
      {"output_file_id", done && batch.completed > 0 ? Json(batch.output.value) : Json(nullptr)},
      {"error_file_id", done && batch.failed > 0 ? Json(batch.errors.value) : Json(nullptr)},
      {"created_at", time_json(batch.created)},
      {"in_progress_at", time_json(batch.begun)},
      {"expires_at", time_json(batch.spec.expiry)},
      {"finalizing_at", time_json(done ? batch.ended : std::nullopt)},
      {"completed_at", ended_as(BatchState::completed)},
      {"failed_at", ended_as(BatchState::failed)},
      {"expired_at", ended_as(BatchState::expired)},
      {"cancelling_at", time_json(batch.cancelled)},
      {"cancelled_at", ended_as(BatchState::cancelled)},
      {"request_counts", {{"total", batch.total}, {"completed", batch.completed}, {"failed", batch.failed}}},
      {"metadata", Json::parse(batch.spec.metadata, nullptr, false)},
      {"session", batch.spec.session.empty() ? Json(nullptr) : Json(batch.spec.session.value)}};
}

}  // namespace

void Api::create_batch(const Caller& caller, http::Request& request, http::Responder& responder) {
  const WallTime now = core_.executor().wall_now();
  BodyReader body(request.body);
  ledger::BatchSpec spec;
  spec.account = caller.account;
  spec.key_id = caller.key_id;
  spec.input = ledger::FileId(body.text("input_file_id", kMaxId).value_or(""));
  if (spec.input.empty()) body.refuse("input_file_id", "is missing");
  spec.endpoint = body.text("endpoint", kMaxId).value_or("");
  if (!is_batch_endpoint(spec.endpoint))
    body.refuse("endpoint", "expected /v1/chat/completions, /v1/completions or /v1/embeddings");
  if (body.text("completion_window", kMaxId).value_or("") != "24h")
    body.refuse("completion_window", "expected 24h");
  spec.session = SessionId(body.text("session", kMaxId).value_or(""));
  spec.metadata = read_metadata(body);
  spec.expiry = now + kWindow;
  if (body.problem()) return respond_error(responder, *body.problem());
  if (!spec.session.empty()) {
    const auto session = core_.sessions().find(caller.account, spec.session);
    if (!session) return respond_error(responder, session.error(), "session");
    if (session->state != ledger::SessionState::open)
      return respond_error(responder, fail(ErrorKind::conflict, "the session has ended"), "session");
  }
  desk_->store.run([spec, now](ledger::BatchStore& store) { return store.create_batch(spec, now); },
                   [this, alive = alive_, responder](const Result<ledger::Batch>& batch) {
                     if (!*alive) return;
                     if (!batch) {
                       const bool file = batch.error().kind == ErrorKind::not_found;
                       return respond_error(responder, batch.error(), file ? "input_file_id" : "");
                     }
                     desk_->runner.look();
                     respond_json(responder, batch_json(*batch));
                   });
}

void Api::list_batches(const Caller& caller, http::Request& request, http::Responder& responder) {
  const auto page = page_of(request, kDefaultPage, kMaxPage);
  if (!page) return respond_error(responder, page.error());
  desk_->store.run(
      [account = caller.account, page = *page](ledger::BatchStore& store) {
        return store.list_batches(account, {page.limit + 1, page.after});
      },
      [responder, page = *page](const Result<std::vector<ledger::Batch>>& batches) {
        if (!batches) return respond_error(responder, batches.error(), page.after.empty() ? "" : "after");
        Json rows = Json::array();
        for (const ledger::Batch& batch : *batches) rows.push_back(batch_json(batch));
        respond_json(responder, list_json(std::move(rows), page));
      });
}

void Api::show_batch(const Caller& caller, http::Request& request, http::Responder& responder) {
  desk_->store.run([account = caller.account, id = BatchId(std::string(request.path_variable("id")))](
                       ledger::BatchStore& store) { return store.batch(account, id); },
                   [responder](const Result<ledger::Batch>& batch) {
                     if (!batch) return respond_error(responder, batch.error());
                     respond_json(responder, batch_json(*batch));
                   });
}

void Api::cancel_batch(const Caller& caller, http::Request& request, http::Responder& responder) {
  desk_->store.run([account = caller.account, id = BatchId(std::string(request.path_variable("id"))),
                    now = core_.executor().wall_now()](
                       ledger::BatchStore& store) { return store.cancel_batch(account, id, now); },
                   [this, alive = alive_, responder](const Result<ledger::Batch>& batch) {
                     if (!*alive) return;
                     if (!batch) return respond_error(responder, batch.error());
                     desk_->runner.look();
                     respond_json(responder, batch_json(*batch));
                   });
}

}  // namespace cortensor::router
