// Claims: a join link reads back as it was written, and each malformed one is refused with what is wrong.
#include "protocol/join_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cortensor::protocol {
namespace {

const std::string kKey(64, 'a');
const std::string kToken = "cjt_" + std::string(43, '-');

TEST(JoinLink, ReadsBackAsWritten) {
  for (const auto& text :
       {"cortensor://127.0.0.1:7600/" + kKey + "?token=" + kToken, "cortensor://[::1]:7600/" + kKey}) {
    const auto link = parse_join_link(text);
    ASSERT_TRUE(link) << link.error().message;
    EXPECT_EQ(to_string(*link), text);
    EXPECT_EQ(link->port, 7600);
  }
}

TEST(JoinLink, SaysWhatIsWrong) {
  const auto message = [](const std::string& text) { return parse_join_link(text).error().message; };
  EXPECT_THAT(message("http://x:1/" + kKey), testing::HasSubstr("does not begin"));
  EXPECT_THAT(message("cortensor://x:1"), testing::HasSubstr("key is missing"));
  EXPECT_THAT(message("cortensor://x/" + kKey), testing::HasSubstr("host and port"));
  for (const std::string host : {"::1", "[]", "[::1", "a b", "a?b", "me@x", "x\n", "[x y]", "\x80"})
    EXPECT_THAT(message("cortensor://" + host + ":1/" + kKey), testing::HasSubstr("the host is")) << host;
  EXPECT_THAT(message("cortensor://x:0/" + kKey), testing::HasSubstr("port is not"));
  EXPECT_THAT(message("cortensor://x:99999/" + kKey), testing::HasSubstr("port is not"));
  EXPECT_THAT(message("cortensor://x:1/beef"), testing::HasSubstr("64 hexadecimal"));
  EXPECT_THAT(message("cortensor://x:1/" + kKey + "?secret=1"),
              testing::HasSubstr("only the parameter token"));
}

TEST(JoinLink, RefusesATokenThatNoRouterMadeAndDoesNotShowIt) {
  EXPECT_TRUE(check_join_token(kToken));
  for (const std::string& token :
       {std::string(), std::string("cjt_"), kToken + "A", kToken.substr(1), kToken.substr(0, 46),
        std::string(1000, 'a'), "ctk_" + std::string(43, 'a'), "cjt_" + std::string(42, 'a') + "\n",
        "cjt_" + std::string(42, 'a') + "=", "cjt_" + std::string(42, 'a') + "\x80"}) {
    const auto status = check_join_token(token);
    ASSERT_FALSE(status) << token;
    EXPECT_EQ(status.error().kind, ErrorKind::invalid_input);
    if (token.size() > 4) {
      EXPECT_THAT(status.error().message, testing::Not(testing::HasSubstr(token.substr(4))));
    }
    EXPECT_FALSE(parse_join_link("cortensor://x:1/" + kKey + "?token=" + token)) << token;
  }
}

}  // namespace
}  // namespace cortensor::protocol
