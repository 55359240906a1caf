#include "router/api/embedding_reply.h"

#include <bit>
#include <charconv>

#include "http/status_map.h"
#include "router/api/proof.h"

namespace cortensor::router {
namespace {

// The shortest decimals that read back as the same binary32 numbers.
std::string json_numbers(std::span<const float> elements) {
  std::string out = "[";
  char digits[32];
  for (const float element : elements) {
    if (out.size() > 1) out += ',';
    out.append(digits, std::to_chars(digits, digits + sizeof digits, element).ptr);
  }
  return out + ']';
}

// Of the binary32 numbers, little endian.
std::string json_base64(std::span<const float> elements) {
  static_assert(std::endian::native == std::endian::little);
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(elements.data());
  const std::size_t count = elements.size_bytes();
  std::string out = "\"";
  for (std::size_t i = 0; i < count; i += 3) {
    const auto byte = [&](std::size_t at) { return at < count ? std::uint32_t{bytes[at]} : 0u; };
    const std::uint32_t group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (std::size_t k = 0; k < 4; ++k) out += i + k <= count ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out + '"';
}

}  // namespace

EmbeddingReply::EmbeddingReply(const EmbeddingCall& call, std::size_t inputs,
                               std::optional<http::Responder> responder)
    : model_(call.model), base64_(call.base64), responder_(std::move(responder)), embeddings_(inputs, "[]") {}

void EmbeddingReply::on_embedding(std::uint32_t choice, std::span<const float> elements) {
  embeddings_[choice] = base64_ ? json_base64(elements) : json_numbers(elements);
}

http::Response EmbeddingReply::answer(const TaskResult& result) const {
  std::uint64_t tokens = 0;
  for (const ChoiceResult& choice : result.choices) tokens += choice.prompt_tokens;
  std::string data;
  for (std::size_t i = 0; i < embeddings_.size(); ++i)
    data.append(i == 0 ? "" : ",")
        .append(R"({"object":"embedding","index":)" + std::to_string(i) + R"(,"embedding":)")
        .append(embeddings_[i])
        .append("}");
  const Json usage = {{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  http::Response response = http::json_response(200, R"({"object":"list","data":[)" + data + R"(],"model":)" +
                                                         Json(model_).dump() + R"(,"usage":)" + usage.dump() +
                                                         R"(,"cortensor":)" + proof_of(result).dump() + "}");
  for (auto& header : queue_headers(admitted_)) response.headers.push_back(std::move(header));
  response.headers.emplace_back("X-Request-Id", result.task.value);
  return response;
}

void EmbeddingReply::on_failed(const Error& error) {
  responder_->respond(refusal(error, latest_.eta));
}

}  // namespace cortensor::router
