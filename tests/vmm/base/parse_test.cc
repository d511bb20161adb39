// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace kvmlet {
namespace {

using std::chrono::nanoseconds;
using testing::HasSubstr;

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST(ParseSizeTest, TakesPlainNumbersAndPowersOf1024) {
  EXPECT_EQ(*ParseSize("--m", "4096"), 4096u);
  EXPECT_EQ(*ParseSize("--m", "0x1000"), 4096u);
  EXPECT_EQ(*ParseSize("--m", "3K"), 3072u);
  EXPECT_EQ(*ParseSize("--m", "512m"), 512ull << 20);
  EXPECT_EQ(*ParseSize("--m", "2GiB"), 2ull << 30);
  EXPECT_EQ(*ParseSize("--m", "1T"), 1ull << 40);
}

TEST(ParseSizeTest, TakesTheLargestThatFits) {
  EXPECT_EQ(*ParseSize("--m", "18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(*ParseSize("--m", "16777215T"), 16777215ull << 40);
}

TEST(ParseSizeTest, RefusesOverflow) {
  EXPECT_FALSE(ParseSize("--m", "18446744073709551616").ok());
  EXPECT_FALSE(ParseSize("--m", "16777216T").ok());
  EXPECT_FALSE(ParseSize("--m", "18014398509481984K").ok());
}

TEST(ParseSizeTest, RefusesWhatIsNoSize) {
  for (const char* text : {"", " 1", "1 ", "-1", "+1", "K", "1KK", "1X", "1.5G",
                           "0x", "1Kx", "0xg", "1 G", "\n", "1iB"}) {
    EXPECT_FALSE(ParseSize("--m", text).ok()) << text;
  }
}

TEST(ParseSizeTest, ErrorNamesFlagTextAndRemedy) {
  const std::string message = Message(ParseSize("--memory", "lots").status());
  EXPECT_THAT(message, HasSubstr("--memory: 'lots'"));
  EXPECT_THAT(message, HasSubstr("512M"));
  EXPECT_EQ(message.find('\n'), message.npos);
}

TEST(ParseDurationTest, TakesEveryUnit) {
  EXPECT_EQ(*ParseDuration("--t", "7us"), nanoseconds(7'000));
  EXPECT_EQ(*ParseDuration("--t", "500ms"), nanoseconds(500'000'000));
  EXPECT_EQ(*ParseDuration("--t", "90"), std::chrono::seconds(90));
  EXPECT_EQ(*ParseDuration("--t", "90s"), std::chrono::seconds(90));
  EXPECT_EQ(*ParseDuration("--t", "2m"), std::chrono::minutes(2));
  EXPECT_EQ(*ParseDuration("--t", "1h"), std::chrono::hours(1));
}

TEST(ParseDurationTest, RefusesOverflow) {
  EXPECT_TRUE(ParseDuration("--t", "9223372036s").ok());
  EXPECT_FALSE(ParseDuration("--t", "9223372037s").ok());
  EXPECT_FALSE(ParseDuration("--t", "2562048h").ok());
  EXPECT_FALSE(ParseDuration("--t", "18446744073709551615").ok());
}

TEST(ParseDurationTest, RefusesWhatIsNoDuration) {
  for (const char* text :
       {"", "s", "-1s", "1.5s", "1d", "1 s", "1ss", "0x10", "0X10", "1ns"}) {
    EXPECT_FALSE(ParseDuration("--t", text).ok()) << text;
  }
}

TEST(ParseNumberTest, BoundsAreInclusive) {
  EXPECT_EQ(*ParseNumber("--n", "3", 3, 5), 3u);
  EXPECT_EQ(*ParseNumber("--n", "0x5", 3, 5), 5u);
  EXPECT_FALSE(ParseNumber("--n", "2", 3, 5).ok());
  EXPECT_FALSE(ParseNumber("--n", "6", 3, 5).ok());
}

TEST(ParseNumberTest, RefusesTrailingText) {
  EXPECT_FALSE(ParseNumber("--n", "4x", 0, 9).ok());
  EXPECT_FALSE(ParseNumber("--n", "", 0, 9).ok());
  EXPECT_FALSE(ParseNumber("--n", "99999999999999999999", 0, UINT64_MAX).ok());
}

TEST(SpecParserBaseTest, AKeyGivenTwiceIsAnError) {
  const auto spec = SpecParser::Parse("--disk", "a,id=x,id=y", true);
  EXPECT_THAT(Message(spec.status()), HasSubstr("'id' is given twice"));
}

TEST(SpecParserBaseTest, AnEmptyKeyIsAnError) {
  EXPECT_FALSE(SpecParser::Parse("--disk", "a,=x", true).ok());
}

TEST(SpecParserBaseTest, AKeyWithoutItsValueIsNamed) {
  auto spec = SpecParser::Parse("--disk", "a,id", true);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->Take("id"), std::nullopt);
  EXPECT_THAT(Message(spec->Finish()), HasSubstr("'id' needs a value"));
}

TEST(SpecParserBaseTest, NoPositionalWhereTheFirstIsAPair) {
  auto spec = SpecParser::Parse("--numa", "memory=1G,cpus=0-1", true);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->positional(), "");
  EXPECT_EQ(**spec->TakeSize("memory"), 1ull << 30);
  EXPECT_EQ(spec->Take("cpus"), "0-1");
  EXPECT_TRUE(spec->Finish().ok());
}

TEST(SpecParserBaseTest, ABadValueNamesFlagAndKey) {
  auto spec = SpecParser::Parse("--disk", "a,ro=maybe,queues=0", true);
  ASSERT_TRUE(spec.ok());
  EXPECT_THAT(Message(spec->TakeBool("ro").status()),
              HasSubstr("--disk ro: 'maybe'"));
  EXPECT_THAT(Message(spec->TakeNumber("queues", 1, 4).status()),
              HasSubstr("--disk queues: '0'"));
}

}  // namespace
}  // namespace kvmlet
