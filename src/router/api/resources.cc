// What can be looked at: models, nodes, receipts, the account, health and metrics.
#include "base/hex.h"
#include "base/metrics.h"
#include "protocol/receipt.h"
#include "router/api/api.h"

namespace cortensor::router {

void Api::account(const Caller& caller, http::Request&, http::Responder& responder) {
  const auto account = core_.ledger().account(caller.account);
  if (!account) return respond_error(responder, account.error());
  respond_json(responder, {{"id", account->id.value},
                           {"object", "account"},
                           {"name", account->name},
                           {"balance_microcredits", account->balance.micro}});
}

void Api::receipt(const Caller& caller, http::Request& request, http::Responder& responder) {
  const protocol::Receipt* receipt =
      core_.receipts().find(caller.account, std::string(request.path_variable("id")));
  if (receipt == nullptr)
    return respond_error(responder, fail(ErrorKind::not_found, "there is no such receipt, or no longer"));
  responder.respond(http::json_response(200, protocol::receipt_to_json(*receipt)));
}

Json Api::model_json(const ServedModel& model) {
  const protocol::ModelManifest& manifest = model.manifest;
  Json more = {{"architecture", manifest.architecture},
               {"quantisation", manifest.quantisation},
               {"context_length", manifest.context_length},
               {"embedding_dimensions", model.dim},
               {"weights_sha256", to_hex(manifest.weights)},
               {"chat", model.chat.has_value()},
               {"miners", core_.nodes().count(protocol::Role::miner, manifest.weights)},
               {"validators", core_.nodes().count(protocol::Role::validator, manifest.weights)}};
  if (const auto price = core_.ledger().price(manifest.id)) {
    more["prompt_price_microcredits_per_million"] = price->prompt.micro;
    more["completion_price_microcredits_per_million"] = price->completion.micro;
  }
  return {{"id", manifest.id},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "cortensor"},
          {"cortensor", more}};
}

void Api::list_models(http::Request&, http::Responder& responder) {
  Json data = Json::array();
  for (const auto& model : core_.catalogue().models()) data.push_back(model_json(*model));
  respond_json(responder, {{"object", "list"}, {"data", data}});
}

void Api::show_model(http::Request& request, http::Responder& responder) {
  const std::string id(request.path_variable("id"));
  const ServedModel* model = core_.catalogue().find(id);
  if (model == nullptr)
    return respond_error(responder, fail(ErrorKind::not_found, "there is no model '" + id + "' here"),
                         "model");
  respond_json(responder, model_json(*model));
}

void Api::nodes(http::Request&, http::Responder& responder) {
  Json data = Json::array();
  for (const auto& [link, node] : core_.nodes().nodes()) {
    Json models = Json::array();
    for (const AttachedModel& model : node.models)
      models.push_back({{"id", model.id},
                        {"prefill_tokens_per_second", model.record->prefill_tokens_per_second()},
                        {"decode_tokens_per_second", model.record->decode_tokens_per_second()},
                        {"answers", model.record->answers()},
                        {"reliability", model.record->reliability(core_.executor().now())}});
    data.push_back({{"id", node.id.value},
                    {"object", "node"},
                    {"role", protocol::to_string(node.role)},
                    {"isa", node.isa},
                    {"slots", node.slots},
                    {"dedicated", !node.only_for.empty()},
                    {"busy", node.busy},
                    {"busy_elsewhere", node.elsewhere},
                    {"kept_elsewhere", node.kept},
                    {"strikes", node.strikes},
                    {"quarantined", node.quarantined},
                    {"models", models}});
  }
  respond_json(responder, {{"object", "list"}, {"data", data}});
}

void Api::health(http::Request&, http::Responder& responder) {
  respond_json(responder, {{"status", "ok"},
                           {"router", core_.id().value},
                           {"nodes", core_.nodes().nodes().size()},
                           {"tasks", core_.tasks()},
                           {"waiting", core_.waiting()}});
}

void Api::metrics(http::Request&, http::Responder& responder) {
  http::Response response;
  response.headers = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}};
  response.body = cortensor::metrics::exposition();
  responder.respond(std::move(response));
}

}  // namespace cortensor::router
