// Claims: a numeric option is taken to the last digit or refused with its name, its range and what was found;
// nothing is clamped, wrapped, cut or read in another base.
#include "app/number_option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace cortensor::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

// The value that the text gives, or the parser's message.
template <class T>
std::string parsed(const CLI::Validator& validator, const std::string& text) {
  CLI::App app;
  T value{};
  app.add_option("--number", value)->transform(validator);
  const std::string option = "--number=" + text;
  const char* equals[] = {"app", option.c_str()};
  const char* separate[] = {"app", "--number", text.c_str()};
  try {
    if (text.empty())
      app.parse(3, separate);
    else
      app.parse(2, equals);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  std::ostringstream out;
  out.precision(17);
  out << value;
  return out.str();
}

TEST(NumberOptions, WholeNumbersAreExactOrRefused) {
  const auto seed = [](const std::string& text) { return parsed<std::uint64_t>(whole(0, kMost), text); };
  EXPECT_EQ(seed("0"), "0");
  EXPECT_EQ(seed("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(seed("010"), "10");
  for (const char* wrong : {"18446744073709551616", "99999999999999999999999", "-1", "", " 1", "1 ", "+1",
                            "1.5", "1e3", "0x10", "nan", "inf", "seven"})
    EXPECT_THAT(seed(wrong), AllOf(HasSubstr("--number"), HasSubstr("0 to 18446744073709551615"),
                                   HasSubstr(std::string("'") + wrong + "'")));
  const auto slots = [](const std::string& text) { return parsed<std::uint32_t>(whole(1, 256), text); };
  EXPECT_EQ(slots("1"), "1");
  EXPECT_EQ(slots("256"), "256");
  for (const char* wrong : {"0", "257", "4294967297", "-255"})
    EXPECT_THAT(slots(wrong), HasSubstr("1 to 256"));
}

TEST(NumberOptions, DecimalNumbersAreFiniteAndInTheirRange) {
  const auto value = [](const std::string& text) { return parsed<double>(temperature(), text); };
  EXPECT_EQ(value("0"), "0");
  EXPECT_EQ(value("0.5"), "0.5");
  EXPECT_EQ(value("2"), "2");
  EXPECT_EQ(value("1e-3"), "0.001");
  for (const char* wrong :
       {"-0.1", "2.0001", "nan", "-nan", "inf", "1e999", "1e-999", "", "0.5x", "0,5", "0x1p-1"})
    EXPECT_THAT(value(wrong), AllOf(HasSubstr("--number"), HasSubstr("from 0 to 2")));
}

TEST(NumberOptions, CreditsAreExact) {
  const auto amount = [](const std::string& text) { return parsed<std::string>(credit_amount(1), text); };
  EXPECT_EQ(amount("0.000001"), "0.000001");
  EXPECT_EQ(amount("12"), "12");
  for (const char* wrong : {"0", "-1", "", "nan", "0.0000001", "1e3", "99999999999999999999"})
    EXPECT_THAT(amount(wrong), HasSubstr("--number"));
}

}  // namespace
}  // namespace cortensor::app
