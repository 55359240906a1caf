// Result<T>: a value or an Error. Every fallible function of ours returns one; nothing of ours throws.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <variant>

namespace cortensor {

// A kind exists only because some caller acts on it; the rest is message text.
enum class ErrorKind {
  invalid_input,     // the caller sent something malformed or impossible
  not_found,         // the thing named does not exist
  corrupt,           // stored or received bytes contradict themselves
  unsupported,       // well formed, but we do not do that
  unauthenticated,   // who are you?
  forbidden,         // known, but not allowed
  payment_required,  // not enough money
  conflict,          // state does not permit it now
  overloaded,        // try later
  timed_out,
  cancelled,
  unavailable,  // a peer or a resource is gone
  internal,     // our own mistake
};

std::string_view to_string(ErrorKind kind);

// What went wrong: the thing, what was expected, what was found.
struct [[nodiscard]] Error {
  ErrorKind kind = ErrorKind::internal;
  std::string message;

  // Prefixes what was being done: Error{"expected 4, found 3"}.context("tensor x") -> "tensor x: expected 4,
  // found 3".
  Error context(std::string_view doing) && {
    message = std::string(doing) + ": " + message;
    return std::move(*this);
  }
};

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  Result(Error error)
      : tl::expected<T, Error>(tl::unexpected(std::move(error))) {}  // NOLINT: implicit by design

  // The error, prefixed; precondition: there is one.
  Error error_context(std::string_view doing) && { return std::move(this->error()).context(doing); }
};

// Success without a value: return ok().
using Status = Result<std::monostate>;
inline Status ok() {
  return std::monostate{};
}

inline Error fail(ErrorKind kind, std::string message) {
  return Error{kind, std::move(message)};
}

}  // namespace cortensor
