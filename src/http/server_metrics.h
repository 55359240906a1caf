// What the servers of this process count. Inside the HTTP layer only.
#pragma once

#include "base/metrics.h"

namespace cortensor::http {

struct ServerMetrics {
  metrics::Gauge& connections;
  metrics::Counter& requests;
  metrics::Counter& refused_requests;
  metrics::Counter& dropped_clients;
};

ServerMetrics& server_metrics();

}  // namespace cortensor::http
