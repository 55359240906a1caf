#include "http/route_table.h"

#include <algorithm>
#include <utility>

#include "http/status_map.h"

namespace cortensor::http {

namespace {

// "/v1/receipts" -> {"v1", "receipts"}; a slash at the end makes an empty last segment, "/" alone makes none.
std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> segments;
  while (path.size() > 1 || (!segments.empty() && !path.empty())) {
    path.remove_prefix(1);
    segments.push_back(path.substr(0, path.find('/')));
    path.remove_prefix(segments.back().size());
  }
  return segments;
}

bool is_variable(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

// Fills `variables` when the pattern matches.
bool matches(const std::vector<std::string>& pattern, const std::vector<std::string_view>& path,
             Headers& variables) {
  if (pattern.size() != path.size()) return false;
  variables.clear();
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    auto segment = percent_decode(path[i]);
    if (!segment) return false;
    if (is_variable(pattern[i])) {
      if (segment->empty()) return false;
      variables.emplace_back(pattern[i].substr(1, pattern[i].size() - 2), std::move(*segment));
    } else if (pattern[i] != *segment) {
      return false;
    }
  }
  return true;
}

// Literals sort before variables, segment by segment, so that the first match is the most literal one.
bool more_literal(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::ranges::lexicographical_compare(a, b, {}, is_variable, is_variable);
}

}  // namespace

void RouteTable::add(std::string_view method, std::string_view pattern, Handler handler) {
  Route route{std::string(method), {}, std::move(handler)};
  for (const std::string_view segment : split(pattern)) route.segments.emplace_back(segment);
  const auto place = std::ranges::upper_bound(routes_, route.segments, more_literal, &Route::segments);
  routes_.insert(place, std::move(route));
}

void RouteTable::operator()(Request request, Responder responder) const {
  const std::vector<std::string_view> path = split(request.path);
  const Route* found = nullptr;
  std::vector<std::string> allowed;
  Headers variables;
  for (const Route& route : routes_) {
    if (!matches(route.segments, path, variables)) continue;
    const bool exact = route.method == request.method;
    const bool head = request.method == "HEAD" && route.method == "GET";
    if (exact || (head && found == nullptr)) {
      found = &route;
      request.path_variables = variables;
      if (exact) break;
    }
    if (std::ranges::find(allowed, route.method) == allowed.end()) allowed.push_back(route.method);
  }
  if (found != nullptr) return found->handler(std::move(request), std::move(responder));
  if (allowed.empty()) {
    return responder.respond(status_response(404, "no such path: " + request.method + " " + request.path));
  }
  std::string methods;
  for (const std::string& method : allowed) methods += (methods.empty() ? "" : ", ") + method;
  Response refusal =
      status_response(405, "method " + request.method + " is not allowed here; allowed: " + methods);
  refusal.headers.emplace_back("Allow", std::move(methods));
  responder.respond(std::move(refusal));
}

}  // namespace cortensor::http
