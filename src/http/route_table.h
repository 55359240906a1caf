// Which handler answers which method and path. Patterns are literal segments and {names}, for example
// "/v1/receipts/{id}"; a name matches one segment that is not empty. A literal segment wins over a name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/server.h"

namespace cortensor::http {

class RouteTable {
 public:
  // The pattern begins with '/'. HEAD goes to the handler of GET unless it has its own.
  void add(std::string_view method, std::string_view pattern, Handler handler);

  // Finds and calls the handler; answers 404 for an unknown path and 405 with Allow for an unknown method.
  // A RouteTable is itself a Handler: capture it in a lambda, or share it.
  void operator()(Request request, Responder responder) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    Handler handler;
  };
  std::vector<Route> routes_;
};

}  // namespace cortensor::http
