// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "vmm/base/parse.h"

namespace kvmlet {
namespace {

TEST(SpecParserTest, TwoCommasAreOneOfTheValue) {
  auto spec = SpecParser::Parse("--disk", "a,,b.img,id=x,,y", true);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->positional(), "a,b.img");
  EXPECT_EQ(spec->Take("id"), "x,y");
}

TEST(SpecParserTest, ThreeCommasAreOneOfTheValueAndASeparator) {
  auto spec = SpecParser::Parse("--disk", "a,,,ro", true);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->positional(), "a,");
  EXPECT_EQ(*spec->TakeBool("ro"), true);
}

TEST(SpecParserTest, APathWithAnEqualsSignIsPositional) {
  auto spec = SpecParser::Parse("--disk", "./a=b.img,ro", true);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->positional(), "./a=b.img");
}

TEST(SpecParserTest, AnOptionalSwitchTellsOffFromAbsent) {
  auto spec = SpecParser::Parse("--net", "vhost=off", false);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(*spec->TakeOptionalBool("vhost"), std::optional<bool>(false));
  EXPECT_EQ(*spec->TakeOptionalBool("other"), std::nullopt);
}

TEST(SpecParserTest, AKeyThatNobodyTookIsNamedWithThoseThatExist) {
  auto spec = SpecParser::Parse("--disk", "a,rw", true);
  ASSERT_TRUE(spec.ok());
  ASSERT_TRUE(spec->TakeBool("ro").ok());
  EXPECT_EQ(spec->Finish().message(), "--disk: unknown key 'rw'; it takes ro");
}

}  // namespace
}  // namespace kvmlet
