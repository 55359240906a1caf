// Claims: a join link reads back as it was written, and each malformed one is refused with what is wrong.
#include "protocol/join_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cortensor::protocol {
namespace {

const std::string kKey(64, 'a');

TEST(JoinLink, ReadsBackAsWritten) {
  for (const auto& text :
       {"cortensor://127.0.0.1:7600/" + kKey + "?token=cjt_x", "cortensor://[::1]:7600/" + kKey}) {
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

}  // namespace
}  // namespace cortensor::protocol
