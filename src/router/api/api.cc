#include "router/api/api.h"

#include "base/hex.h"
#include "crypto/sha256.h"
#include "http/status_map.h"

namespace cortensor::router {
namespace {

constexpr std::size_t kKeyIdDigits = 16;

}  // namespace

Api::Api(RouterCore& core, BatchDesk* desk) : core_(core), desk_(desk) {
  add("POST", "/v1/chat/completions", &Api::chat);
  add("POST", "/v1/completions", &Api::completion);
  add("POST", "/v1/embeddings", &Api::embed);
  add("POST", "/v1/sessions", &Api::create_session);
  add("GET", "/v1/sessions", &Api::list_sessions);
  add("GET", "/v1/sessions/{id}", &Api::show_session);
  add("DELETE", "/v1/sessions/{id}", &Api::close_session);
  add("POST", "/v1/sessions/{id}/close", &Api::close_session);
  add("GET", "/v1/receipts/{id}", &Api::receipt);
  add("GET", "/v1/tasks/{id}/why", &Api::why);
  add("GET", "/v1/account", &Api::account);
  add_open("GET", "/v1/models", &Api::list_models);
  add_open("GET", "/v1/models/{id}", &Api::show_model);
  add_open("GET", "/v1/nodes", &Api::nodes);
  add_open("GET", "/healthz", &Api::health);
  add_open("GET", "/metrics", &Api::metrics);
  if (desk_ == nullptr) return;
  add("POST", "/v1/files", &Api::upload_file);
  add("GET", "/v1/files", &Api::list_files);
  add("GET", "/v1/files/{id}", &Api::show_file);
  add("GET", "/v1/files/{id}/content", &Api::file_content);
  add("DELETE", "/v1/files/{id}", &Api::delete_file);
  add("POST", "/v1/batches", &Api::create_batch);
  add("GET", "/v1/batches", &Api::list_batches);
  add("GET", "/v1/batches/{id}", &Api::show_batch);
  add("POST", "/v1/batches/{id}/cancel", &Api::cancel_batch);
}

void Api::add(std::string_view method, std::string_view path, Handler handler) {
  routes_.add(method, path, [this, handler](http::Request request, http::Responder responder) {
    const auto caller = authenticate(request);
    if (!caller) return respond_error(responder, caller.error());
    (this->*handler)(*caller, request, responder);
  });
}

void Api::add_open(std::string_view method, std::string_view path, OpenHandler handler) {
  routes_.add(method, path, [this, handler](http::Request request, http::Responder responder) {
    if (request.header("Authorization"))
      if (const auto caller = authenticate(request); !caller) return respond_error(responder, caller.error());
    (this->*handler)(request, responder);
  });
}

Result<Api::Caller> Api::authenticate(const http::Request& request) const {
  const auto secret = request.bearer_token();
  if (!secret) return fail(ErrorKind::unauthenticated, "expected an API key as Authorization: Bearer ctk_…");
  const auto account = core_.ledger().find_by_api_key(*secret);
  if (!account && account.error().kind == ErrorKind::invalid_input)
    return fail(ErrorKind::unauthenticated, "the API key is not valid");
  if (!account) return account.error();
  return Caller{*account, to_hex(crypto::sha256(bytes_of(*secret))).substr(0, kKeyIdDigits)};
}

void respond_error(const http::Responder& responder, const Error& error, std::string_view param) {
  responder.respond(http::error_response(error, param));
}

void respond_error(const http::Responder& responder, const ApiError& error) {
  respond_error(responder, error.error, error.param);
}

void respond_json(const http::Responder& responder, const Json& json, int status) {
  responder.respond(http::json_response(status, json.dump(-1, ' ', false, Json::error_handler_t::replace)));
}

}  // namespace cortensor::router
