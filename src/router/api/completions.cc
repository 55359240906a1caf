// /v1/chat/completions and /v1/completions: from a call to a running task.
#include <chrono>
#include <memory>

#include "router/api/api.h"
#include "router/api/completion_reply.h"
#include "router/api/completion_request.h"

namespace cortensor::router {

void Api::chat(const Caller& caller, http::Request& request, http::Responder& responder) {
  complete(caller, request, responder, true);
}

void Api::completion(const Caller& caller, http::Request& request, http::Responder& responder) {
  complete(caller, request, responder, false);
}

void Api::complete(const Caller& caller, const http::Request& request, http::Responder& responder,
                   bool chat) {
  const Clock::time_point received = core_.executor().now();
  const WallTime now = core_.executor().wall_now();
  auto call = chat ? parse_chat(request.body) : parse_completion(request.body);
  if (!call) return respond_error(responder, call.error());
  if (const auto header = request.header("Cortensor-Session"); header) {
    if (!call->session.empty() && call->session != *header)
      return respond_error(
          responder,
          fail(ErrorKind::invalid_input, "session: the header Cortensor-Session names another one"),
          "session");
    call->session = *header;
  }

  const ServedModel* model = core_.catalogue().find(call->model);
  if (model == nullptr)
    return respond_error(responder,
                         fail(ErrorKind::not_found, "there is no model '" + call->model + "' here"), "model");
  auto requests = make_requests(*call, *model);
  if (!requests) return respond_error(responder, requests.error());

  Result<ledger::Session> session = fail(ErrorKind::internal, "");
  if (!call->session.empty()) {
    session = core_.sessions().find(caller.account, SessionId(call->session));
  } else {
    const auto price = core_.ledger().price(call->model);
    if (!price) return respond_error(responder, price.error());
    const auto need = worst_case(ledger::SessionSpec{}, *price, *requests);
    if (!need) return respond_error(responder, need.error());
    session = core_.sessions().implicit(caller.account, caller.key_id, call->model, *need, now);
  }
  if (!session) return respond_error(responder, session.error(), call->session.empty() ? "" : "session");

  TaskSpec spec;
  spec.account = caller.account;
  spec.session = std::move(*session);
  spec.model = model;
  spec.requests = std::move(*requests);
  spec.want_logprobs = call->logprobs;
  spec.top_logprobs = call->top_logprobs;
  spec.received = received;
  const auto created = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  auto reply = std::make_shared<CompletionReply>(*call, *model, core_.options().arithmetic_version,
                                                 spec.requests.size(), created, responder);
  const auto task = core_.submit(std::move(spec), reply);
  if (!task) return respond_error(responder, task.error());
  reply->begin(*task);
  responder.on_close([&core = core_, alive = alive_, id = *task] {
    if (*alive) core.cancel(id);
  });
}

}  // namespace cortensor::router
