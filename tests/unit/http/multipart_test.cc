// Claims: a form is read the same however it is cut; what is no such form is refused, and never taken for
// another one.
#include "http/multipart.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace cortensor::http {
namespace {

const std::string kType = "multipart/form-data; boundary=xYz";

// "name|filename|data" for each part, or the error's message.
std::string read(const std::string& bytes, std::size_t step, const std::string& type = kType) {
  auto reader = MultipartReader::of_content_type(type);
  if (!reader) return reader.error().message;
  std::string found;
  const MultipartReader::Events events = {[&](const MultipartReader::Part& part) {
                                            found +=
                                                "[" + part.name + "|" + part.filename.value_or("-") + "|";
                                          },
                                          [&](std::string_view data) { found += data; }};
  for (std::size_t at = 0; at < bytes.size(); at += step)
    if (const Status fed = reader->feed(std::string_view(bytes).substr(at, step), events); !fed)
      return fed.error().message;
  return reader->complete() ? found : found + " …";
}

std::string form(const std::string& disposition, const std::string& data) {
  return "--xYz\r\nContent-Disposition: " + disposition + "\r\n\r\n" + data + "\r\n--xYz--\r\n";
}

TEST(Multipart, IsReadTheSameHoweverItIsCut) {
  const std::string bytes =
      "--xYz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
      "--xYz\r\ncontent-type: text/plain\r\nCONTENT-DISPOSITION: form-data; name=file; filename=\"a "
      "b.jsonl\"\r\n\r\n"
      "one\r\n--xY\r\n--xYZ\n--xYz\r\r\n\r\n--xYz\r\nContent-Disposition: form-data; "
      "name=\"n\\\"o\"\r\n\r\n\r\n--xYz--\r\nrest";
  const std::string expected = "[purpose|-|batch[file|a b.jsonl|one\r\n--xY\r\n--xYZ\n--xYz\r\r\n[n\"o|-|";
  for (std::size_t step = 1; step <= bytes.size(); ++step) EXPECT_EQ(read(bytes, step), expected) << step;
}

TEST(Multipart, ThatBreaksOffIsNotComplete) {
  const std::string bytes = form("form-data; name=\"a\"", "data");
  for (std::size_t size = 1; size < bytes.size() - 2; ++size)
    EXPECT_TRUE(read(bytes.substr(0, size), 3).ends_with(" …")) << size;
  EXPECT_EQ(read(bytes.substr(0, bytes.size() - 2), 3), "[a|-|data");
}

TEST(Multipart, ThatIsNoneIsRefused) {
  const auto refused = [](const std::string& bytes, const std::string& why) {
    for (const std::size_t step : {std::size_t{1}, bytes.size()})
      EXPECT_NE(read(bytes, step).find(why), std::string::npos) << bytes << "\n" << read(bytes, step);
  };
  refused("preamble\r\n--xYz\r\n", "boundary at the beginning");
  refused("--xYzz\r\n", "behind a boundary");
  refused("--xYz \r\n", "behind a boundary");
  refused(form("attachment; name=\"a\"", ""), "no form-data");
  refused(form("form-data", ""), "without a name");
  refused(form("form-data; name=\"a\"; name=\"b\"", ""), "two names");
  refused(form("form-data; name=\"a", ""), "without a name");
  refused(form("form-data; name=\"a\" x", ""), "something behind it");
  refused(form("form-data; name=\"a\"\nX: y", ""), "a header of a part that is none");
  refused("--xYz\r\nX: y\r\n\r\n", "without Content-Disposition");
  refused(form("form-data; name=\"" + std::string(MultipartReader::kMaxPartHeader, 'a') + "\"", ""),
          "too long");
  std::string many;
  for (std::size_t i = 0; i <= MultipartReader::kMaxParts; ++i)
    many += "--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n";
  refused(many, "parts");
}

TEST(Multipart, NeedsATypeWithOneBoundary) {
  for (const char* type :
       {"", "multipart/form-data",
        "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a\x01\"",
        "multipart/form-data; boundary=a; boundary=b", "application/json", "multipart/mixed; boundary=a"})
    EXPECT_FALSE(MultipartReader::of_content_type(type)) << type;
  EXPECT_FALSE(MultipartReader::of_content_type("multipart/form-data; boundary=" + std::string(71, 'a')));
  for (const char* type :
       {"Multipart/Form-Data;boundary=xYz", "multipart/form-data; charset=utf-8; Boundary=\"xYz\""})
    EXPECT_EQ(read(form("form-data; name=a", "b"), 5, type), "[a|-|b") << type;
}

}  // namespace
}  // namespace cortensor::http
