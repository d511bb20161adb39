// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/block_bitmap.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace kvmlet {
namespace {

TEST(BlockBitmapTest, StartsClear) {
  const BlockBitmap bitmap(200);
  EXPECT_EQ(bitmap.size(), 200u);
  EXPECT_TRUE(bitmap.None(0, 200));
  EXPECT_EQ(bitmap.NextRun(true, 0, 200).count, 0u);
  EXPECT_EQ(bitmap.NextRun(false, 0, 200), (BlockRun{0, 200}));
}

TEST(BlockBitmapTest, RunsCrossWords) {
  BlockBitmap bitmap(200);
  bitmap.Set(60, 80);
  EXPECT_TRUE(bitmap.All(60, 80));
  EXPECT_FALSE(bitmap.All(59, 2));
  EXPECT_FALSE(bitmap.All(139, 2));
  EXPECT_EQ(bitmap.NextRun(true, 0, 200), (BlockRun{60, 80}));
  EXPECT_EQ(bitmap.NextRun(true, 70, 100), (BlockRun{70, 30}));
  EXPECT_EQ(bitmap.NextRun(false, 60, 200), (BlockRun{140, 60}));
  bitmap.Clear(64, 64);
  EXPECT_EQ(bitmap.NextRun(true, 0, 200), (BlockRun{60, 4}));
  EXPECT_EQ(bitmap.NextRun(true, 64, 200), (BlockRun{128, 12}));
}

TEST(BlockBitmapTest, AgreesWithOneBitAtATime) {
  constexpr uint64_t kSize = 197;
  BlockBitmap bitmap(kSize);
  std::vector<bool> model(kSize);
  std::mt19937 random(1);
  const auto below = [&random](uint64_t n) { return random() % n; };
  for (int step = 0; step < 2000; ++step) {
    const uint64_t first = below(kSize);
    const uint64_t count = 1 + below(kSize - first);
    const bool value = below(2) == 0;
    value ? bitmap.Set(first, count) : bitmap.Clear(first, count);
    for (uint64_t i = 0; i < count; ++i) model[first + i] = value;
    const uint64_t from = below(kSize);
    const uint64_t end = from + below(kSize - from + 1);
    for (const bool wanted : {true, false}) {
      uint64_t expected = from;
      while (expected < end && model[expected] != wanted) ++expected;
      ASSERT_EQ(bitmap.Find(wanted, from, end), expected);
      ASSERT_EQ(
          wanted ? bitmap.None(from, end - from) : bitmap.All(from, end - from),
          expected == end);
    }
  }
}

}  // namespace
}  // namespace kvmlet
