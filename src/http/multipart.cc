#include "http/multipart.h"

#include <algorithm>

#include "http/message.h"

namespace cortensor::http {
namespace {

Error malformed(std::string what) {
  return fail(ErrorKind::invalid_input, "multipart/form-data: " + std::move(what));
}

void skip_spaces(std::string_view& text) {
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(" \t")));
}

// The next "; name=value" of a header, the value a token or quoted; nothing at the end or at a mistake, which
// leaves the text as it is.
struct Parameter {
  std::string_view name;
  std::string value;
};
std::optional<Parameter> next_parameter(std::string_view& text) {
  std::string_view rest = text;
  skip_spaces(rest);
  if (!rest.starts_with(';')) return std::nullopt;
  rest.remove_prefix(1);
  skip_spaces(rest);
  const std::size_t equals = rest.find('=');
  if (equals == rest.npos || equals == 0) return std::nullopt;
  Parameter found{rest.substr(0, equals), {}};
  rest.remove_prefix(equals + 1);
  if (!rest.starts_with('"')) {
    const std::string_view token = rest.substr(0, rest.find_first_of("; \t"));
    if (token.empty() || token.find('"') != token.npos) return std::nullopt;
    found.value = token;
    rest.remove_prefix(token.size());
  } else {
    std::size_t at = 1;
    for (; at < rest.size() && rest[at] != '"'; ++at) {
      if (rest[at] == '\\' && ++at == rest.size()) return std::nullopt;
      found.value += rest[at];
    }
    if (at == rest.size()) return std::nullopt;
    rest.remove_prefix(at + 1);
  }
  text = rest;
  return found;
}

bool is_boundary(std::string_view text) {
  constexpr std::string_view kOthers = "'()+_,-./:=? ";
  const auto allowed = [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           kOthers.find(c) != kOthers.npos;
  };
  return !text.empty() && text.size() <= MultipartReader::kMaxBoundary && text.back() != ' ' &&
         std::ranges::all_of(text, allowed);
}

}  // namespace

Result<MultipartReader> MultipartReader::of_content_type(std::string_view content_type) {
  std::string_view rest = content_type;
  const std::string_view type = rest.substr(0, rest.find_first_of("; \t"));
  if (!equal_ignoring_case(type, "multipart/form-data"))
    return fail(ErrorKind::invalid_input, "Content-Type: expected multipart/form-data");
  rest.remove_prefix(type.size());
  std::optional<std::string> boundary;
  while (auto parameter = next_parameter(rest)) {
    if (!equal_ignoring_case(parameter->name, "boundary")) continue;
    if (boundary) return malformed("two boundaries");
    boundary = std::move(parameter->value);
  }
  if (!boundary || !is_boundary(*boundary)) return malformed("no boundary of 1 to 70 characters");
  return MultipartReader(std::move(*boundary));
}

// The first delimiter has no line end before it: it is there already.
MultipartReader::MultipartReader(std::string boundary)
    : delimiter_("\r\n--" + std::move(boundary)), buffer_("\r\n") {}

Status MultipartReader::feed(std::string_view bytes, const Events& events) {
  if (complete()) return ok();
  buffer_ += bytes;
  for (;;) {
    auto went_on = step(events);
    if (!went_on) return std::move(went_on).error();
    if (!*went_on) break;
  }
  buffer_.erase(0, taken_);
  taken_ = 0;
  return ok();
}

Result<bool> MultipartReader::step(const Events& events) {
  const std::string_view rest = std::string_view(buffer_).substr(taken_);
  switch (stage_) {
    case Stage::begin:
      if (!rest.starts_with(std::string_view(delimiter_).substr(0, rest.size())))
        return malformed("expected its boundary at the beginning");
      if (rest.size() < delimiter_.size()) return false;
      taken_ += delimiter_.size();
      stage_ = Stage::boundary_end;
      return true;
    case Stage::boundary_end:
      if (rest.size() < 2) return false;
      taken_ += 2;
      if (rest.starts_with("--")) {
        stage_ = Stage::after;
        return false;
      }
      if (!rest.starts_with("\r\n")) return malformed("expected a line end or -- behind a boundary");
      if (++parts_ > kMaxParts) return malformed("more than " + std::to_string(kMaxParts) + " parts");
      stage_ = Stage::header;
      return true;
    case Stage::header: {
      const std::size_t end = rest.substr(0, kMaxPartHeader).find("\r\n\r\n");
      if (end == rest.npos) {
        if (rest.size() >= kMaxPartHeader) return malformed("the header of a part is too long");
        return false;
      }
      auto part = part_of(rest.substr(0, end));
      if (!part) return std::move(part).error();
      taken_ += end + 4;
      stage_ = Stage::data;
      events.on_part(*part);
      return true;
    }
    case Stage::data: {
      const std::size_t end = rest.find(delimiter_);
      // What may be the beginning of a delimiter waits for more.
      const std::size_t sure = end != rest.npos                   ? end
                               : rest.size() >= delimiter_.size() ? rest.size() - delimiter_.size() + 1
                                                                  : 0;
      if (sure > 0) events.on_data(rest.substr(0, sure));
      taken_ += sure;
      if (end == rest.npos) return false;
      taken_ += delimiter_.size();
      stage_ = Stage::boundary_end;
      return true;
    }
    case Stage::after:
      break;
  }
  return false;
}

Result<MultipartReader::Part> MultipartReader::part_of(std::string_view header) const {
  std::optional<Part> part;
  while (!header.empty()) {
    const std::string_view line = header.substr(0, header.find("\r\n"));
    header.remove_prefix(std::min(header.size(), line.size() + 2));
    const std::size_t colon = line.find(':');
    if (colon == line.npos || colon == 0 || line.find_first_of(std::string_view("\r\n\0", 3)) != line.npos)
      return malformed("a header of a part that is none");
    if (!equal_ignoring_case(line.substr(0, colon), "Content-Disposition")) continue;
    if (part) return malformed("a part with two Content-Dispositions");
    std::string_view value = line.substr(colon + 1);
    skip_spaces(value);
    const std::string_view kind = value.substr(0, value.find_first_of("; \t"));
    if (!equal_ignoring_case(kind, "form-data")) return malformed("a part that is no form-data");
    value.remove_prefix(kind.size());
    std::optional<std::string> name;
    part.emplace();
    while (auto parameter = next_parameter(value)) {
      std::optional<std::string>* wanted = parameter->name == "name"       ? &name
                                           : parameter->name == "filename" ? &part->filename
                                                                           : nullptr;
      if (wanted == nullptr) continue;
      if (*wanted) return malformed("a part with two names");
      *wanted = std::move(parameter->value);
    }
    skip_spaces(value);
    if (!name || !value.empty()) return malformed("a part without a name, or with something behind it");
    part->name = std::move(*name);
  }
  if (!part) return malformed("a part without Content-Disposition");
  return *std::move(part);
}

}  // namespace cortensor::http
