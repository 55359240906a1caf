#include "router/api/pages.h"

#include <charconv>

namespace cortensor::router {

Parsed<ledger::Page> page_of(const http::Request& request, std::size_t usual, std::size_t most) {
  ledger::Page page{usual, {}};
  const auto limit = request.query_value("limit");
  if (!limit) return refused(limit.error(), "limit");
  if (const auto& wanted = *limit) {
    const char* end = wanted->data() + wanted->size();
    const auto [stopped, problem] = std::from_chars(wanted->data(), end, page.limit);
    if (problem != std::errc() || stopped != end || page.limit < 1 || page.limit > most)
      return refused(fail(ErrorKind::invalid_input, "limit: expected 1 to " + std::to_string(most)), "limit");
  }
  auto after = request.query_value("after");
  if (!after) return refused(after.error(), "after");
  page.after = std::move(*after).value_or("");
  return page;
}

Json list_json(Json rows, const ledger::Page& page) {
  const bool more = rows.size() > page.limit;
  if (more) rows.erase(rows.size() - 1);
  Json first, last;
  if (!rows.empty()) {
    first = rows.front()["id"];
    last = rows.back()["id"];
  }
  return {{"object", "list"},
          {"data", std::move(rows)},
          {"first_id", std::move(first)},
          {"last_id", std::move(last)},
          {"has_more", more}};
}

Json time_json(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

Json time_json(const std::optional<WallTime>& time) {
  return time ? time_json(*time) : Json(nullptr);
}

}  // namespace cortensor::router
