#include "router/api/task_start.h"

namespace cortensor::router {
namespace {

// The key's own session, with room for these requests.
Result<ledger::Session> own_session(RouterCore& core, const Payer& payer, const TaskSpec& spec) {
  const std::string& model = spec.model->manifest.id;
  const auto price = core.ledger().price(model);
  if (!price) return price.error();
  const auto need = worst_case(ledger::SessionSpec{}, *price, spec.requests);
  if (!need) return need.error();
  return core.sessions().implicit(payer.account, payer.key_id, model, *need, core.executor().wall_now());
}

}  // namespace

Parsed<TaskId> start_task(RouterCore& core, const Payer& payer, TaskSpec spec,
                          std::shared_ptr<TaskListener> listener) {
  const bool named = !payer.session.empty();
  auto session = named ? core.sessions().find(payer.account, payer.session) : own_session(core, payer, spec);
  if (!session) return refused(session.error(), named ? "session" : "");
  spec.account = payer.account;
  spec.session = std::move(*session);
  auto task = core.submit(std::move(spec), std::move(listener));
  if (!task) return refused(task.error());
  return *task;
}

}  // namespace cortensor::router
