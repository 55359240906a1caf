// Every tensor type of the GGUF format, by its number: what files of others may hold, whether or not we
// compute with it.
#include <cctype>

#include "engine/gguf_file.h"

namespace cortensor::engine {
namespace {

struct StoredType {
  std::string_view name;  // empty: a number that was given up or never given
  StoredBlock block;
};

constexpr StoredType kTypes[] = {{"F32", {1, 4}},
                                 {"F16", {1, 2}},
                                 {"Q4_0", {32, 18}},
                                 {"Q4_1", {32, 20}},
                                 {},
                                 {},
                                 {"Q5_0", {32, 22}},
                                 {"Q5_1", {32, 24}},
                                 {"Q8_0", {32, 34}},
                                 {"Q8_1", {32, 36}},
                                 {"Q2_K", {256, 84}},
                                 {"Q3_K", {256, 110}},
                                 {"Q4_K", {256, 144}},
                                 {"Q5_K", {256, 176}},
                                 {"Q6_K", {256, 210}},
                                 {"Q8_K", {256, 292}},
                                 {"IQ2_XXS", {256, 66}},
                                 {"IQ2_XS", {256, 74}},
                                 {"IQ3_XXS", {256, 98}},
                                 {"IQ1_S", {256, 50}},
                                 {"IQ4_NL", {32, 18}},
                                 {"IQ3_S", {256, 110}},
                                 {"IQ2_S", {256, 82}},
                                 {"IQ4_XS", {256, 136}},
                                 {"I8", {1, 1}},
                                 {"I16", {1, 2}},
                                 {"I32", {1, 4}},
                                 {"I64", {1, 8}},
                                 {"F64", {1, 8}},
                                 {"IQ1_M", {256, 56}},
                                 {"BF16", {1, 2}},
                                 {},
                                 {},
                                 {},
                                 {"TQ1_0", {256, 54}},
                                 {"TQ2_0", {256, 66}},
                                 {},
                                 {},
                                 {},
                                 {"MXFP4", {32, 17}}};

const StoredType* find(std::uint32_t type) {
  return type < std::size(kTypes) && !kTypes[type].name.empty() ? &kTypes[type] : nullptr;
}

}  // namespace

std::string_view to_string(TensorType type) {
  if (type == TensorType::s8) return "S8";  // ours: the format knows them as bytes
  if (type == TensorType::s4) return "S4";
  const StoredType* known = find(static_cast<std::uint32_t>(type));
  return known != nullptr ? known->name : "unknown";
}

std::string lower_name(TensorType type) {
  std::string name(to_string(type));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

std::string tensor_type_name(std::uint32_t type) {
  const std::string_view name = to_string(static_cast<TensorType>(type));
  return name == "unknown" ? std::to_string(type) : std::string(name);
}

std::optional<StoredBlock> stored_block(std::uint32_t type) {
  const StoredType* known = find(type);
  return known != nullptr ? std::optional(known->block) : std::nullopt;
}

}  // namespace cortensor::engine
