// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/json_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "vmm/control/json.h"

namespace kvmlet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Every message as its text, every error as "!why".
std::vector<std::string> Take(JsonStream& stream) {
  std::vector<std::string> items;
  while (auto item = stream.Next()) {
    items.push_back(item->error.empty() ? item->text : "!" + item->error);
  }
  return items;
}

std::vector<std::string> Cut(std::string_view bytes, size_t limit = 1 << 20) {
  JsonStream stream(limit);
  stream.Push(bytes);
  return Take(stream);
}

TEST(JsonStreamTest, CutsMessagesThatRunIntoOneAnother) {
  EXPECT_THAT(Cut(R"({"a":1}{"b":[2]}[3])"),
              ElementsAre(R"({"a":1})", R"({"b":[2]})", "[3]"));
}

TEST(JsonStreamTest, JoinsMessageSplitAtEveryByte) {
  const std::string text = R"({"k\"}":"{[\\"} )";
  JsonStream stream(1 << 20);
  std::vector<std::string> items;
  for (const char c : text) {
    stream.Push({&c, 1});
    for (std::string& item : Take(stream)) items.push_back(std::move(item));
  }
  EXPECT_THAT(items, ElementsAre(R"({"k\"}":"{[\\"})"));
}

TEST(JsonStreamTest, KeepsMessageThatSpansLines) {
  EXPECT_THAT(Cut("{\n\t\"a\":\r\n1\n}\n"), ElementsAre("{\n\t\"a\":\r\n1\n}"));
}

TEST(JsonStreamTest, ReportsNoiseOnceAndGoesOnAtNextBrace) {
  EXPECT_THAT(Cut("hello, [world] 42 {\"a\":1}"),
              ElementsAre(HasSubstr("!expecting"), R"({"a":1})"));
}

TEST(JsonStreamTest, ReportsNoiseOnceALine) {
  EXPECT_THAT(Cut("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
              ElementsAre(HasSubstr("!"), HasSubstr("!")));
}

TEST(JsonStreamTest, ByteFfForcesANewStartInsideString) {
  EXPECT_THAT(Cut("{\"a\": \"never ended \xff{\"b\":2}"),
              ElementsAre(HasSubstr("!control character"), R"({"b":2})"));
}

TEST(JsonStreamTest, ControlByteForcesANewStartInsideObject) {
  EXPECT_THAT(Cut(std::string("{\"a\": \x01{\"b\":2}")),
              ElementsAre(HasSubstr("!unexpected control"), R"({"b":2})"));
}

TEST(JsonStreamTest, NewlineEndsUnterminatedString) {
  EXPECT_THAT(Cut("{\"a\": \"oops\n{\"b\":2}"),
              ElementsAre(HasSubstr("!unterminated"), R"({"b":2})"));
}

TEST(JsonStreamTest, EscapedNewlineStillEndsString) {
  EXPECT_THAT(Cut("{\"a\\\n{\"b\":2}"),
              ElementsAre(HasSubstr("!unterminated"), R"({"b":2})"));
}

TEST(JsonStreamTest, MismatchedBracketSkipsItsLine) {
  EXPECT_THAT(Cut("{\"a\":[1}} {\"x\":1}\n{\"b\":2}"),
              ElementsAre("!brackets do not match", R"({"b":2})"));
}

TEST(JsonStreamTest, StrayClosingBraceIsNoise) {
  EXPECT_THAT(Cut("}}}\n{\"b\":2}"), ElementsAre(HasSubstr("!"), "{\"b\":2}"));
}

TEST(JsonStreamTest, AcceptsDeepestNesting) {
  const std::string text = std::string(64, '[') + std::string(64, ']');
  EXPECT_THAT(Cut(text), ElementsAre(text));
}

TEST(JsonStreamTest, RejectsDeeperNestingAndSkipsTheLine) {
  const std::string text =
      std::string(100'000, '[') + std::string(100'000, ']') + "\n{}";
  EXPECT_THAT(Cut(text), ElementsAre(HasSubstr("!nested deeper"), "{}"));
}

TEST(JsonStreamTest, AcceptsMessageOfExactlyTheLimit) {
  EXPECT_THAT(Cut("[\"1234\"]", 8), ElementsAre("[\"1234\"]"));
}

TEST(JsonStreamTest, RejectsLongerMessageAndSkipsTheLine) {
  EXPECT_THAT(Cut("[\"12345678901234567890\"]\n{}", 8),
              ElementsAre(HasSubstr("!more than 8 bytes"), "{}"));
}

TEST(JsonStreamTest, HoldsNothingForUnboundedLine) {
  JsonStream stream(1024);
  size_t errors = 0;
  stream.Push("{\"");
  for (int i = 0; i < 1000; ++i) {
    stream.Push(std::string(4096, 'a'));
    errors += Take(stream).size();
  }
  EXPECT_EQ(errors, 1u);
}

TEST(JsonStreamTest, NothingFromWhitespace) {
  EXPECT_THAT(Cut(" \r\n\t\n"), IsEmpty());
}

TEST(ParseJsonTest, RefusesWhatIsNoJson) {
  EXPECT_FALSE(ParseJson(""));
  EXPECT_FALSE(ParseJson("{\"a\":}"));
  EXPECT_FALSE(ParseJson("{} {}"));
  EXPECT_FALSE(ParseJson("[1e999]"));
  EXPECT_FALSE(ParseJson("[NaN]"));
  EXPECT_FALSE(ParseJson("\"\xc3\x28\""));
  EXPECT_FALSE(ParseJson("\"\\ud800\""));
  EXPECT_FALSE(ParseJson(std::string(65, '[') + std::string(65, ']')));
}

TEST(ParseJsonTest, BracketsInStringsAreNotDepth) {
  EXPECT_TRUE(ParseJson("[\"" + std::string(1000, '[') + "\\\"[\"]"));
}

TEST(ParseJsonTest, ManyKeysAreParsedInTime) {
  std::string text = "{\"x\":0";
  for (int i = 0; i < 90'000; ++i) text += ",\"" + std::to_string(i) + "\":1";
  text += "}";
  const auto value = ParseJson(text);
  ASSERT_TRUE(value);
  EXPECT_EQ(value->size(), 90'001u);
}

TEST(DumpJsonTest, IsAsciiWhateverTheBytes) {
  EXPECT_EQ(DumpJson("a\xff\n\x7f\xc3\xa9"), "\"a\\ufffd\\n\\u007f\\u00e9\"");
}

TEST(MemberTest, IsNullForOtherTypes) {
  EXPECT_EQ(Member(Json(3), "a"), nullptr);
  EXPECT_EQ(Member(Json::array(), "a"), nullptr);
  EXPECT_EQ(StringMember(Json{{"a", 1}}, "a"), "");
}

}  // namespace
}  // namespace kvmlet
