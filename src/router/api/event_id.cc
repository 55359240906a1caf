#include "router/api/event_id.h"

#include <charconv>
#include <cstring>

#include "base/bytes.h"
#include "base/hex.h"
#include "crypto/sha256.h"
#include "protocol/canonical.h"

namespace cortensor::router {
namespace {

constexpr std::size_t kTaskBytes = 16;  // of a digest, in a task's name

template <class T>
std::string hex_of(T number) {
  std::string text(2 * sizeof(T), '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, number = static_cast<T>(number >> 4))
    *digit = "0123456789abcdef"[number & 15];
  return text;
}

// Takes a number off the front.
template <class T>
T take(std::string_view& text, int base) {
  T number{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number, base);
  text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
  return number;
}

template <class T>
T take_hex(std::string_view& text) {
  std::string_view digits = text.substr(0, 2 * sizeof(T));
  text.remove_prefix(digits.size());
  return take<T>(digits, 16);
}

template <class T>
T number_at(const Digest& digest, std::size_t at) {
  T number{};
  std::memcpy(&number, digest.data() + at, sizeof number);
  return number;
}

}  // namespace

void Progress::add(TokenId token) {
  ByteWriter writer;
  writer.number(trace);
  writer.number(token);
  trace = number_at<std::uint64_t>(crypto::sha256(writer.bytes()), 0);
  ++tokens;
}

std::string text_of_run(const EventId& id) {
  return hex_of(id.nonce) + hex_of(id.seed) + hex_of(id.check);
}

std::string text_of(const Progress& progress) {
  if (!progress.begun) return ".";
  return "." + std::to_string(progress.tokens) + "-" + hex_of(progress.trace) +
         (progress.finished ? "f" : "");
}

// Whatever is not spelt as we spell it is found by spelling it again.
Result<EventId> parse_event_id(std::string_view text) {
  EventId id;
  if (text.size() <= kMaxEventIdBytes) {
    std::string_view rest = text;
    id.nonce = take_hex<std::uint64_t>(rest);
    id.seed = take_hex<std::uint64_t>(rest);
    id.check = take_hex<std::uint32_t>(rest);
    std::string spelt = text_of_run(id);
    while (rest.starts_with('.')) {
      rest.remove_prefix(1);
      Progress& one = id.choices.emplace_back();
      if (one.begun = !rest.empty() && rest.front() != '.'; one.begun) {
        one.tokens = take<std::uint32_t>(rest, 10);
        if (rest.starts_with('-')) rest.remove_prefix(1);
        one.trace = take_hex<std::uint64_t>(rest);
        if (one.finished = rest.starts_with('f'); one.finished) rest.remove_prefix(1);
      }
      spelt += text_of(one);
    }
    if (spelt == text && !id.choices.empty()) return id;
  }
  return fail(ErrorKind::invalid_input, "Last-Event-ID: expected the id of an event of this API");
}

TaskName name_task(const AccountId& account, std::string_view session, const Digest& weights,
                   std::span<const GenerationRequest> requests, std::uint64_t nonce) {
  ByteWriter writer;
  writer.text("cortensor task 1");
  writer.text(account.value);
  writer.text(session);
  writer.number(nonce);
  for (const GenerationRequest& request : requests) writer.raw(protocol::request_digest(weights, request));
  const Digest digest = crypto::sha256(writer.bytes());
  return {TaskId("task_" + to_hex(ByteView(digest).first(kTaskBytes))),
          number_at<std::uint32_t>(digest, kTaskBytes)};
}

}  // namespace cortensor::router
