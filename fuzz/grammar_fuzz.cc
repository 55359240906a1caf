// Any bytes as a grammar, and as a JSON schema: refused, or followed byte by byte within the limits. The
// first line of the input is what is followed, the rest the grammar or the schema.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"
#include "engine/constraint.h"
#include "router/api/json_schema.h"

namespace cortensor {
namespace {

void follow(std::string_view grammar, std::string_view text) {
  auto compiled = engine::compile_grammar(grammar);
  if (!compiled) {
    CORTENSOR_CHECK(!compiled.error().message.empty());
    return;
  }
  CORTENSOR_CHECK(compiled->nodes.size() <= engine::kMaxGrammarNodes);
  engine::GrammarMatcher matcher(std::make_shared<const engine::Grammar>(std::move(*compiled)));
  auto state = matcher.start();
  for (const char byte : text) {
    const auto next = matcher.next(state, static_cast<std::uint8_t>(byte));
    CORTENSOR_CHECK(next == matcher.next(state, static_cast<std::uint8_t>(byte)));
    std::vector<engine::GrammarMatcher::State> kept{next};
    const bool complete = matcher.complete(next);
    matcher.forget_all_but(kept);
    CORTENSOR_CHECK(matcher.complete(kept[0]) == complete);
    state = kept[0];
  }
}

}  // namespace
}  // namespace cortensor

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cortensor;
  const std::string_view input = text_of({data, size});
  const std::size_t line = std::min(input.find('\n'), input.size());
  const std::string_view text = input.substr(0, line), rest = input.substr(std::min(line + 1, input.size()));
  follow(rest, text);
  const auto schema = router::Json::parse(rest, nullptr, false);
  if (!schema.is_discarded())
    if (const auto grammar = router::schema_grammar(schema)) {
      const auto compiled = engine::compile_grammar(*grammar);
      if (compiled) follow(*grammar, text);
    }
  return 0;
}
