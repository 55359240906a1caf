// Claims: the names of other tools mean here what they mean there, tensor for tensor.
#include "engine/mixture.h"

#include <gtest/gtest.h>

namespace cortensor::engine {
namespace {

// The types of a part in all layers, one digit each: "6" is Q6_K.
std::string digits(const char* mixture, const char* part, Outline outline = {16, 4, true}) {
  std::string out;
  for (std::uint32_t l = 0; l < outline.layers; ++l) {
    const std::string name = "blk." + std::to_string(l) + "." + part + ".weight";
    out += to_string(type_in(*find_mixture(mixture), outline, name, 2048))[1];
  }
  return out;
}

TEST(Mixture, SomeMatricesHaveMoreBits) {
  EXPECT_EQ(digits("q4_k_m", "attn_v"), "6644644644644666");
  EXPECT_EQ(digits("q4_k_m", "ffn_down"), "6644644644644666");
  EXPECT_EQ(digits("q4_k_m", "ffn_up"), "4444444444444444");
  EXPECT_EQ(digits("q4_k_m", "ffn_down", {28, 3, true}), "6664464464464464464464466666")
      << "the last eighth of 28 layers begins with the 24th";
  EXPECT_EQ(digits("q5_k_m", "ffn_down"), "6655655655655666");
  EXPECT_EQ(digits("q5_k_s", "ffn_down"), "5555555555555555");
  EXPECT_EQ(digits("q4_k_s", "attn_v"), "5555444444444444");
  EXPECT_EQ(digits("q4_k_s", "ffn_down"), "5544444444444444");
  EXPECT_EQ(digits("q3_k_l", "attn_output"), "5555555555555555");
  EXPECT_EQ(digits("q3_k_m", "attn_v"), "5544444444444444");
  EXPECT_EQ(digits("q3_k_m", "ffn_down"), "5444444444444444");
  EXPECT_EQ(digits("q3_k_m", "attn_output"), "4444444444444444");
  EXPECT_EQ(digits("q3_k_s", "attn_v"), "3333333333333333");
  EXPECT_EQ(digits("q2_k", "attn_v"), "4444444444444444");
  EXPECT_EQ(digits("q2_k", "attn_v", {4, 3, true}), "3333") << "keys that few heads share are larger";
  EXPECT_EQ(digits("q2_k", "ffn_down"), "3333333333333333");
  EXPECT_EQ(digits("q2_k", "attn_q"), "2222222222222222");
  EXPECT_EQ(digits("q3_k_s", "attn_v", {80, 8, false}), std::string(80, '5')) << "70 billion weights";
}

TEST(Mixture, TheOutputMatrixHasAtLeastSixBits) {
  const auto type = [](const char* mixture, bool tied, const char* tensor, std::uint64_t cols = 2048) {
    return type_in(*find_mixture(mixture), {16, 4, tied}, tensor, cols);
  };
  EXPECT_EQ(type("q4_k_m", true, "token_embd.weight"), TensorType::q6_k);
  EXPECT_EQ(type("q4_k_m", false, "token_embd.weight"), TensorType::q4_k);
  EXPECT_EQ(type("q4_k_m", false, "output.weight"), TensorType::q6_k);
  EXPECT_EQ(type("q4_0", true, "token_embd.weight"), TensorType::q6_k);
  EXPECT_EQ(type("q4_0", true, "token_embd.weight", 96), TensorType::q8_0);
  EXPECT_EQ(type("q8_0", true, "token_embd.weight"), TensorType::q8_0);
  EXPECT_EQ(type("f16", true, "token_embd.weight", 20), TensorType::f16);
  EXPECT_EQ(type("q4_k_m", false, "token_embd.weight", 96), TensorType::q5_0);
}

TEST(Mixture, NamesAreKnownInAnyCase) {
  for (const std::string& name : mixture_names()) EXPECT_EQ(find_mixture(name)->name, name);
  EXPECT_EQ(find_mixture("Q4_K_M"), find_mixture("q4_k_m"));
  EXPECT_EQ(find_mixture("S8")->type, TensorType::s8);
  for (const char* name : {"", "q", "q4_k_", "q4_k_mm", "iq4_xs"})
    EXPECT_EQ(find_mixture(name), nullptr) << name;
}

}  // namespace
}  // namespace cortensor::engine
