// /v1/sessions: money set aside for a model under stated rules. Spec: docs/spec/http-api.md, 4
#include <cmath>

#include "base/hex.h"
#include "router/api/api.h"
#include "router/api/pages.h"

namespace cortensor::router {
namespace {

constexpr std::int64_t kDefaultLifetime = 3600;
constexpr double kDefaultProbability = 0.1;
constexpr std::size_t kDefaultPage = 20, kMaxPage = 100;

Json optional_json(const std::optional<Credits>& amount) {
  return amount ? Json(amount->micro) : Json(nullptr);
}

// "full", or {"level":"spot","probability":0.1}, or {"level":"quorum","k":2,"n":3}.
ledger::Validation read_validation(BodyReader& body) {
  ledger::Validation validation;
  const Json* field = body.field("validation");
  if (field == nullptr) return validation;
  BodyReader inner(field->is_string() ? Json{{"level", *field}} : *field, "validation");
  const auto level = protocol::validation_level_from(inner.text("level", ledger::kMaxText).value_or("none"));
  if (inner.problem() || !level) {
    if (!inner.problem()) inner.refuse("level", "expected none, spot, full or quorum");
    body.refuse(*inner.problem());
    return validation;
  }
  validation.level = *level;
  const auto only_at = [&](protocol::ValidationLevel where, const char* name) {
    if (*level != where && inner.has(name))
      inner.refuse(name, "has no meaning at level " + std::string(protocol::to_string(*level)));
  };
  only_at(protocol::ValidationLevel::spot, "probability");
  only_at(protocol::ValidationLevel::quorum, "k");
  only_at(protocol::ValidationLevel::quorum, "n");
  if (*level == protocol::ValidationLevel::spot) {
    const double probability = inner.number("probability", 0, 1).value_or(kDefaultProbability);
    validation.spot_ppm = static_cast<std::uint32_t>(std::lround(probability * ledger::kMillion));
    if (validation.spot_ppm == 0) inner.refuse("probability", "expected at least 0.000001");
  }
  if (*level == protocol::ValidationLevel::quorum) {
    validation.quorum_k = static_cast<std::uint32_t>(inner.integer("k", 2, 16).value_or(2));
    validation.quorum_n = static_cast<std::uint32_t>(inner.integer("n", 2, 16).value_or(validation.quorum_k));
    if (validation.quorum_k > validation.quorum_n || 2 * validation.quorum_k <= validation.quorum_n)
      inner.refuse("k", "expected more than half of n, at most n");
    if (body.has("redundancy"))
      body.refuse("redundancy", "has no meaning at level quorum, where n says how many miners answer");
  }
  if (inner.problem()) body.refuse(*inner.problem());
  return validation;
}

// What is asked of the miners, in fields of the session itself.
ledger::ServiceLevel read_service(BodyReader& body) {
  ledger::ServiceLevel service;
  const auto whole = [&](const char* name, std::int64_t most) {
    return static_cast<std::uint32_t>(body.integer(name, 0, most).value_or(0));
  };
  service.min_tokens_per_second = whole("min_tokens_per_second", ledger::kMaxPace);
  service.max_first_token_ms = whole("max_first_token_ms", ledger::kMaxFirstTokenMs);
  const double reliability = body.number("min_reliability", 0, 1).value_or(0);
  service.min_reliability_ppm = static_cast<std::uint32_t>(std::lround(reliability * ledger::kMillion));
  const Json* miners = body.field("miners");
  if (miners == nullptr) return service;
  if (!miners->is_array() || miners->empty() || miners->size() > ledger::kMaxNamedMiners) {
    body.refuse("miners", "expected a list of 1 to " + std::to_string(ledger::kMaxNamedMiners) + " node ids");
    return service;
  }
  for (const Json& miner : *miners) {
    if (!miner.is_string() || !bytes32_from_hex(miner.get<std::string>())) {
      body.refuse("miners", "expected node ids of 64 hex digits, as /v1/nodes lists them");
      return service;
    }
    service.miners.emplace_back(miner.get<std::string>());
  }
  return service;
}

}  // namespace

void Api::create_session(const Caller& caller, http::Request& request, http::Responder& responder) {
  const WallTime now = core_.executor().wall_now();
  BodyReader body(request.body);
  ledger::SessionSpec spec;
  spec.account = caller.account;
  spec.model = body.text("model", ledger::kMaxText).value_or("");
  if (spec.model.empty()) body.refuse("model", "expected the name of a model");
  spec.budget.micro = body.integer("budget_microcredits", 1, ledger::kMaxAmount.micro).value_or(0);
  if (spec.budget.micro == 0) body.refuse("budget_microcredits", "is missing");
  const auto limit = [&](const char* name) -> std::optional<Credits> {
    const auto amount = body.integer(name, 0, ledger::kMaxAmount.micro);
    return amount ? std::optional(Credits{*amount}) : std::nullopt;
  };
  spec.max_prompt_price = limit("max_prompt_price_microcredits_per_million");
  spec.max_completion_price = limit("max_completion_price_microcredits_per_million");
  spec.validation = read_validation(body);
  spec.redundancy = static_cast<std::uint32_t>(body.integer("redundancy", 1, 16).value_or(1));
  spec.service = read_service(body);
  spec.label = body.text("label", ledger::kMaxText).value_or("");
  const auto lifetime = body.integer("expires_in_seconds", 1, core_.options().max_session_lifetime.count());
  spec.expiry = now + std::chrono::seconds(lifetime.value_or(kDefaultLifetime));
  if (body.problem()) return respond_error(responder, *body.problem());
  if (const Status status = ledger::check_text("label", spec.label); !status)
    return respond_error(responder, status.error(), "label");
  if (core_.catalogue().find(spec.model) == nullptr)
    return respond_error(responder, fail(ErrorKind::not_found, "there is no model '" + spec.model + "' here"),
                         "model");
  const auto session = core_.sessions().open(std::move(spec), now);
  if (!session) return respond_error(responder, session.error());
  respond_json(responder, session_json(*session), 201);
}

void Api::list_sessions(const Caller& caller, http::Request& request, http::Responder& responder) {
  const auto page = page_of(request, kDefaultPage, kMaxPage);
  if (!page) return respond_error(responder, page.error());
  std::optional<SessionId> after;
  if (!page->after.empty()) after = SessionId(page->after);
  // One more than asked for tells whether there are more.
  const auto sessions = core_.ledger().list_sessions(caller.account, page->limit + 1, after);
  if (!sessions) return respond_error(responder, sessions.error(), after ? "after" : "");
  Json rows = Json::array();
  for (const ledger::Session& session : *sessions) rows.push_back(session_json(session));
  respond_json(responder, list_json(std::move(rows), *page));
}

void Api::show_session(const Caller& caller, http::Request& request, http::Responder& responder) {
  const auto session =
      core_.sessions().find(caller.account, SessionId(std::string(request.path_variable("id"))));
  if (!session) return respond_error(responder, session.error());
  respond_json(responder, session_json(*session));
}

void Api::close_session(const Caller& caller, http::Request& request, http::Responder& responder) {
  const SessionId id(std::string(request.path_variable("id")));
  const auto released = core_.sessions().close(caller.account, id, core_.executor().wall_now());
  if (!released) return respond_error(responder, released.error());
  const auto session = core_.sessions().find(caller.account, id);
  if (!session) return respond_error(responder, session.error());
  Json json = session_json(*session);
  json["released_microcredits"] = released->micro;
  respond_json(responder, json);
}

Json Api::session_json(const ledger::Session& session) {
  const ledger::SessionSpec& spec = session.spec;
  Json validation = {{"level", protocol::to_string(spec.validation.level)}};
  if (spec.validation.level == protocol::ValidationLevel::spot)
    validation["probability"] = static_cast<double>(spec.validation.spot_ppm) / ledger::kMillion;
  if (spec.validation.level == protocol::ValidationLevel::quorum) {
    validation["k"] = spec.validation.quorum_k;
    validation["n"] = spec.validation.quorum_n;
  }
  Json miners = Json::array();
  for (const NodeId& miner : spec.service.miners) miners.push_back(miner.value);
  return {{"id", session.id.value},
          {"object", "session"},
          {"model", spec.model},
          {"state", ledger::to_string(session.state)},
          {"budget_microcredits", spec.budget.micro},
          {"hold_microcredits", session.hold.micro},
          {"reserved_microcredits", core_.sessions().reserved(session.id).micro},
          {"spent_microcredits", session.spent.micro},
          {"max_prompt_price_microcredits_per_million", optional_json(spec.max_prompt_price)},
          {"max_completion_price_microcredits_per_million", optional_json(spec.max_completion_price)},
          {"validation", validation},
          {"redundancy", spec.redundancy},
          {"min_tokens_per_second", spec.service.min_tokens_per_second},
          {"max_first_token_ms", spec.service.max_first_token_ms},
          {"min_reliability", static_cast<double>(spec.service.min_reliability_ppm) / ledger::kMillion},
          {"miners", miners},
          {"label", spec.label},
          {"implicit", spec.implicit},
          {"opened_at", time_json(session.opened)},
          {"expires_at", time_json(spec.expiry)},
          {"ended_at", time_json(session.ended)}};
}

}  // namespace cortensor::router
