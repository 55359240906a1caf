// Any bytes as a form, presented whole and in pieces: the same parts and data come out, or the same refusal,
// and no more data than went in. Then as a line of a batch.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/check.h"
#include "http/multipart.h"
#include "router/api/batch_line.h"

namespace {

using namespace cortensor;

std::string parts(std::string_view bytes, std::size_t step) {
  auto reader = http::MultipartReader::of_content_type("multipart/form-data; boundary=b");
  std::string found;
  std::size_t data_bytes = 0;
  const http::MultipartReader::Events events = {
      [&](const auto& part) { found += "\n" + part.name + "|" + part.filename.value_or("-") + "|"; },
      [&](std::string_view data) {
        data_bytes += data.size();
        found += data;
      }};
  for (std::size_t at = 0; at < bytes.size(); at += step)
    if (const Status fed = reader->feed(bytes.substr(at, step), events); !fed) return "refused";
  CORTENSOR_CHECK(data_bytes <= bytes.size());
  return found + (reader->complete() ? " whole" : "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = text_of({data, size});
  const std::string whole = parts(bytes, size + 1);
  CORTENSOR_CHECK(parts(bytes, 1) == whole && parts(bytes, 3) == whole);
  static_cast<void>(http::MultipartReader::of_content_type(bytes));
  for (const char* endpoint : {"/v1/chat/completions", "/v1/embeddings"})
    if (const auto line = router::parse_line(bytes, endpoint))
      CORTENSOR_CHECK(!line->custom_id.empty() && line->custom_id.size() <= router::kMaxCustomId);
  return 0;
}
