// /v1/tasks/{id}/why: how each miner of a task was chosen. Spec: docs/spec/http-api.md, 6
#include <cmath>

#include "router/api/api.h"

namespace cortensor::router {
namespace {

Json milliseconds(double seconds) {
  return std::round(seconds * 1e6) / 1e3;
}

Json decision_json(const Decision& decision) {
  Json candidates = Json::array(), excluded = Json::array();
  for (const Candidate& one : decision.candidates)
    candidates.push_back({{"miner", one.miner.value},
                          {"first_token_ms", milliseconds(one.first_token)},
                          {"last_token_ms", milliseconds(one.last_token)},
                          {"cost_ms", milliseconds(one.cost)},
                          {"reliability", one.reliability},
                          {"cached_tokens", one.cached_tokens},
                          {"busy", one.busy},
                          {"on_probation", one.on_probation}});
  for (const Exclusion& one : decision.excluded)
    excluded.push_back({{"miner", one.miner.value}, {"reason", one.reason}});
  return {{"attempt", decision.attempt.value},
          {"choice", decision.choice},
          {"given_tokens", decision.given_tokens},
          {"chosen", decision.chosen.value},
          {"rule", decision.rule},
          {"able", decision.able},
          {"candidates", candidates},
          {"excluded", excluded}};
}

}  // namespace

void Api::why(const Caller& caller, http::Request& request, http::Responder& responder) {
  const TaskId task(std::string(request.path_variable("id")));
  const auto* decisions = core_.decisions().find(caller.account, task);
  if (decisions == nullptr)
    return respond_error(responder, fail(ErrorKind::not_found, "there is no such task, or no longer"));
  Json list = Json::array();
  for (const Decision& decision : *decisions) list.push_back(decision_json(decision));
  respond_json(responder, {{"object", "task.why"}, {"task", task.value}, {"decisions", list}});
}

}  // namespace cortensor::router
