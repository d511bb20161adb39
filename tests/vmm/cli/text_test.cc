// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/text.h"

#include <gtest/gtest.h>

namespace kvmlet::cli {
namespace {

constexpr std::string_view kNames[] = {"kernel", "memory", "net", "numa"};

TEST(NearestTest, FindsOneWrongLetter) {
  EXPECT_EQ(Nearest("kernal", kNames), "kernel");
}

TEST(NearestTest, FindsSwappedNeighbours) {
  EXPECT_EQ(Nearest("mmeory", kNames), "memory");
}

TEST(NearestTest, FindsAnAbbreviation) {
  EXPECT_EQ(Nearest("mem", kNames), "memory");
}

TEST(NearestTest, FindsNothingForAnotherWord) {
  EXPECT_EQ(Nearest("graphics", kNames), "");
}

TEST(NearestTest, FindsNothingForAnEmptyWord) {
  EXPECT_EQ(Nearest("", kNames), "");
}

TEST(NearestTest, FindsNothingForAVeryLongWord) {
  EXPECT_EQ(Nearest(std::string(1 << 20, 'k'), kNames), "");
}

TEST(WrappedTest, KeepsLinesBelowEightyColumns) {
  std::string words;
  for (int i = 0; i < 100; ++i) words += "word ";
  const std::string text = Wrapped(words, 8);
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    EXPECT_LE(end - at, 79u);
    EXPECT_EQ(text.substr(at, 8), "        ");
    at = end + 1;
  }
}

TEST(WrappedTest, KeepsAWordThatIsTooLong) {
  EXPECT_EQ(Wrapped(std::string(100, 'x'), 2),
            "  " + std::string(100, 'x') + "\n");
}

TEST(WordsTest, SkipsRepeatedSpaces) {
  EXPECT_EQ(Words("  a  b "), (std::vector<std::string_view>{"a", "b"}));
}

}  // namespace
}  // namespace kvmlet::cli
