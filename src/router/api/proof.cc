#include "router/api/proof.h"

namespace cortensor::router {
namespace {

using ledger::TaskOutcome;

std::string_view verdict_name(TaskOutcome outcome) {
  switch (outcome) {
    case TaskOutcome::unchecked:
      return "UNCHECKED";
    case TaskOutcome::valid:
      return "VALID";
    case TaskOutcome::inconclusive:
      return "INCONCLUSIVE";
    case TaskOutcome::invalid:
      return "INVALID";
    case TaskOutcome::failed:
      break;
  }
  return "FAILED";
}

// Of several choices, the least reassuring one.
TaskOutcome overall(const TaskResult& result) {
  for (const TaskOutcome bad : {TaskOutcome::invalid, TaskOutcome::inconclusive, TaskOutcome::unchecked})
    for (const ChoiceResult& choice : result.choices)
      if (choice.outcome == bad) return bad;
  return TaskOutcome::valid;
}

}  // namespace

Json proof_of(const TaskResult& result) {
  Json receipts = Json::array(), verdicts = Json::array(), miners = Json::array();
  for (const ChoiceResult& choice : result.choices) {
    receipts.push_back(choice.receipt);
    verdicts.push_back(verdict_name(choice.outcome));
    for (const NodeId& miner : choice.miners) miners.push_back(miner.value);
  }
  return {{"task", result.task.value}, {"session", result.session.value},
          {"receipts", receipts},      {"verdict", verdict_name(overall(result))},
          {"verdicts", verdicts},      {"cost_microcredits", result.cost.micro},
          {"miners", miners}};
}

}  // namespace cortensor::router
