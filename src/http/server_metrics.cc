#include "http/server_metrics.h"

namespace cortensor::http {

ServerMetrics& server_metrics() {
  static ServerMetrics metrics{
      metrics::gauge("cortensor_http_connections", "Open HTTP connections."),
      metrics::counter("cortensor_http_requests_total", "HTTP requests handed to a handler."),
      metrics::counter(
          "cortensor_http_refused_requests_total",
          "HTTP requests answered before any handler: malformed, too large, too slow, too many."),
      metrics::counter("cortensor_http_dropped_clients_total",
                       "HTTP clients dropped because they did not read.")};
  return metrics;
}

}  // namespace cortensor::http
