// Streams many answers at a time from a router, a thread each, and says how it went, as JSON.
//
//   load_client --url URL --key KEY --body JSON [--streams N] [--requests N]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "http/client.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Seen {
  std::mutex mutex;
  std::vector<double> first_ms;
  std::size_t failed = 0, events = 0;
  std::string error;
};

void one_request(cortensor::http::Client& client, const cortensor::http::ClientRequest& request, Seen& seen) {
  const auto begin = Clock::now();
  double first = -1;
  std::size_t events = 0;
  std::string end;
  const auto response = client.request_stream(request, [&](std::string_view bytes) {
    if (first < 0) first = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    for (std::size_t at = bytes.find("data: "); at != bytes.npos; at = bytes.find("data: ", at + 6)) ++events;
    end.append(bytes.substr(bytes.size() - std::min<std::size_t>(bytes.size(), 32)));
    if (end.size() > 64) end.erase(0, end.size() - 32);
    return true;
  });
  const bool good = response && response->status == 200 && end.find("[DONE]") != end.npos;
  const std::lock_guard lock(seen.mutex);
  seen.events += events;
  if (good) return seen.first_ms.push_back(first);
  ++seen.failed;
  seen.error = !response ? response.error().message : response->body;
}

double quantile(const std::vector<double>& sorted, double part) {
  return sorted.empty() ? -1
                        : sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) {
  cortensor::http::ClientRequest request;
  request.method = "POST";
  std::string key;
  std::size_t streams = 1, requests = 1;
  CLI::App app{"load on a router"};
  app.add_option("--url", request.url)->required();
  app.add_option("--key", key)->required();
  app.add_option("--body", request.body)->required();
  app.add_option("--streams", streams);
  app.add_option("--requests", requests);
  CLI11_PARSE(app, argc, argv);
  request.headers = {{"Authorization", "Bearer " + key}, {"Content-Type", "application/json"}};

  Seen seen;
  std::atomic<std::size_t> next{0};
  const auto begin = Clock::now();
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < streams; ++i)
    threads.emplace_back([&] {
      cortensor::http::Client client;
      while (next++ < requests) one_request(client, request, seen);
    });
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::sort(seen.first_ms.begin(), seen.first_ms.end());
  std::printf(
      "{\"good\": %zu, \"failed\": %zu, \"seconds\": %.3f, \"requests_per_second\": %.1f, "
      "\"events_per_second\": %.0f, "
      "\"first_ms\": {\"median\": %.2f, \"p99\": %.2f}}\n",
      seen.first_ms.size(), seen.failed, seconds, static_cast<double>(seen.first_ms.size()) / seconds,
      static_cast<double>(seen.events) / seconds, quantile(seen.first_ms, 0.5),
      quantile(seen.first_ms, 0.99));
  if (seen.failed > 0) std::fprintf(stderr, "load_client: %s\n", seen.error.c_str());
  return seen.failed > 0;
}
