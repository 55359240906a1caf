// /v1/chat/completions, /v1/completions and /v1/embeddings: from a call to a running task.
#include <chrono>
#include <memory>

#include "crypto/random.h"
#include "router/api/api.h"
#include "router/api/completion_reply.h"
#include "router/api/completion_request.h"
#include "router/api/embedding_reply.h"
#include "router/api/embedding_request.h"
#include "router/api/task_start.h"

namespace cortensor::router {
namespace {

constexpr const char* kLastEvent = "Last-Event-ID";
// For so long after it was paid for an answer is made again for nothing, as its end may have been lost.
constexpr std::chrono::minutes kUnpaidFor{10};
// And so often, at this router: nobody is paid for it.
constexpr int kMadeAgain = 3;

}  // namespace

void Api::chat(const Caller& caller, http::Request& request, http::Responder& responder) {
  complete(caller, request, responder, true);
}

void Api::completion(const Caller& caller, http::Request& request, http::Responder& responder) {
  complete(caller, request, responder, false);
}

void Api::complete(const Caller& caller, const http::Request& request, http::Responder& responder,
                   bool chat) {
  const auto received = core_.executor().now();
  auto call = chat ? parse_chat(request.body) : parse_completion(request.body);
  const auto resumed = last_event(call, request);
  if (!resumed) return respond_error(responder, resumed.error());
  auto spec = task_of(call, request, received);
  if (!spec) return respond_error(responder, spec.error());

  spec->want_logprobs = call->logprobs;
  spec->top_logprobs = call->top_logprobs;
  const auto now = core_.executor().wall_now().time_since_epoch();
  auto reply = std::make_shared<CompletionReply>(
      *call, *spec->model, core_.options().arithmetic_version, spec->requests.size(),
      std::chrono::duration_cast<std::chrono::seconds>(now).count(), responder);
  if (call->stream) {
    auto event = identify(caller, *call, *resumed, *spec);
    if (!event) return respond_error(responder, event.error());
    reply->identify(std::move(*event), spec->requests);
  }
  if (const auto started = start(caller, call->session, std::move(*spec), reply, responder))
    reply->begin(started->task, started->standing, [this, alive = alive_, task = started->task] {
      core_.executor().post([this, alive, task] {
        if (*alive) core_.cancel(task);
      });
    });
}

Parsed<std::optional<EventId>> Api::last_event(Parsed<CompletionCall>& call, const http::Request& request) {
  if (!call) return tl::unexpected(call.error());
  const auto header = request.header(kLastEvent);
  if (!header) return std::nullopt;
  if (!call->stream)
    return refused(fail(ErrorKind::invalid_input, "Last-Event-ID: is for stream: true only"), kLastEvent);
  auto id = parse_event_id(*header);
  if (!id) return refused(std::move(id).error(), kLastEvent);
  if (!call->seed_named) call->sampling.seed = id->seed;
  return std::optional(std::move(*id));
}

Parsed<EventId> Api::identify(const Caller& caller, const CompletionCall& call,
                              const std::optional<EventId>& resumed, TaskSpec& spec) {
  EventId event = resumed.value_or(EventId{crypto::random_u64(), call.sampling.seed, 0, {}});
  const TaskName name =
      name_task(caller.account, call.session, spec.model->manifest.weights, spec.requests, event.nonce);
  spec.id = name.task;
  spec.resumed = resumed.has_value();
  if (!resumed) {
    event.check = name.check;
    return event;
  }
  if (event.check != name.check || event.choices.size() != spec.requests.size())
    return refused(fail(ErrorKind::invalid_input, "Last-Event-ID: belongs to another request"), kLastEvent);
  const auto over = [](std::string_view why) {
    return refused(fail(ErrorKind::conflict, "Last-Event-ID: the answer was " + std::string(why)),
                   kLastEvent);
  };
  const WallTime now = core_.executor().wall_now();
  bool settled = false;
  for (std::uint32_t i = 0; i < spec.requests.size(); ++i) {
    const auto paid = core_.ledger().settled_task(spec.id, i);
    if (!paid) continue;
    settled = true;
    if (paid->settled + kUnpaidFor < now)
      return over("complete and paid for more than " + std::to_string(kUnpaidFor.count()) + " minutes ago");
    if (paid->reversed || paid->settlement.outcome == ledger::TaskOutcome::invalid ||
        paid->settlement.outcome == ledger::TaskOutcome::failed)
      return over("found wrong, and nothing was charged; ask anew");
  }
  if (settled && !may_make_again(spec.id, now))
    return over("complete, and made again " + std::to_string(kMadeAgain) + " times already");
  core_.cancel(spec.id);  // whoever began it here has lost its client, who is this one
  return event;
}

bool Api::may_make_again(const TaskId& task, WallTime now) {
  std::erase_if(made_again_, [&](const auto& one) { return one.second.first + kUnpaidFor < now; });
  return ++made_again_.try_emplace(task, now, 0).first->second.second <= kMadeAgain;
}

void Api::embed(const Caller& caller, http::Request& request, http::Responder& responder) {
  const auto received = core_.executor().now();
  auto call = parse_embedding(request.body);
  auto spec = task_of(call, request, received);
  if (!spec) return respond_error(responder, spec.error());

  auto reply = std::make_shared<EmbeddingReply>(*call, spec->requests.size(), responder);
  if (const auto started = start(caller, call->session, std::move(*spec), reply, responder))
    reply->begin(started->task, started->standing);
}

template <typename Call>
Parsed<TaskSpec> Api::task_of(Parsed<Call>& call, const http::Request& request,
                              Clock::time_point received) const {
  if (!call) return tl::unexpected(call.error());
  const auto model = model_of(call->model, request, call->session);
  if (!model) return tl::unexpected(model.error());
  const auto urgency = with_header(call->urgency, request);
  if (!urgency) return tl::unexpected(urgency.error());
  auto requests = make_requests(*call, **model);
  if (!requests) return tl::unexpected(requests.error());
  TaskSpec spec;
  spec.queue_class = urgency->queue_class();
  spec.deadline = urgency->deadline;
  spec.received = received;
  spec.model = *model;
  spec.requests = std::move(*requests);
  return spec;
}

Parsed<const ServedModel*> Api::model_of(const std::string& name, const http::Request& request,
                                         std::string& session) const {
  if (const auto header = request.header("Cortensor-Session"); header) {
    if (!session.empty() && session != *header)
      return refused(
          fail(ErrorKind::invalid_input, "session: the header Cortensor-Session names another one"),
          "session");
    session = *header;
  }
  const ServedModel* model = core_.catalogue().find(name);
  if (model == nullptr)
    return refused(fail(ErrorKind::not_found, "there is no model '" + name + "' here"), "model");
  return model;
}

std::optional<Api::Started> Api::start(const Caller& caller, const std::string& session, TaskSpec spec,
                                       std::shared_ptr<TaskListener> reply,
                                       const http::Responder& responder) {
  const TaskTable::Demand demand = core_.task_table().demand_of(spec);
  const std::weak_ptr<TaskListener> listening = reply;
  const auto task = start_task(core_, {caller.account, caller.key_id, SessionId(session)}, std::move(spec),
                               std::move(reply));
  if (!task) {
    if (task.error().error.kind == ErrorKind::overloaded)
      responder.respond(refusal(task.error().error, core_.task_table().time_to_room(demand)));
    else
      respond_error(responder, task.error());
    return std::nullopt;
  }
  // A task that has let go of this client may be another one's by now.
  responder.on_close([&core = core_, alive = alive_, id = *task, listening] {
    if (*alive && !listening.expired()) core.cancel(id);
  });
  return Started{*task, core_.task_table().standing(*task).value_or(Standing{})};
}

}  // namespace cortensor::router
