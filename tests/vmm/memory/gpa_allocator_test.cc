// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/gpa_allocator.h"

#include <gtest/gtest.h>

namespace kvmlet {
namespace {

TEST(GpaAllocatorTest, TakesFromTheBottomAligned) {
  GpaAllocator window(Gpa{0x1800}, 0x8800);
  EXPECT_EQ(window.Take(0x1000, 0x1000), Gpa{0x2000});
  EXPECT_EQ(window.Take(0x100, 0x1000), Gpa{0x3000});
  EXPECT_EQ(window.Take(0x2000, 0x4000), Gpa{0x4000});
  EXPECT_EQ(window.left(), 0x4000u);
}

TEST(GpaAllocatorTest, TakesTheLastByteButNotOneMore) {
  GpaAllocator window(Gpa{0x1000}, 0x2000);
  EXPECT_FALSE(window.Take(0x2001, 1));
  EXPECT_FALSE(window.Take(UINT64_MAX, 1));
  EXPECT_FALSE(window.Take(1, 1ull << 40));
  EXPECT_EQ(window.Take(0x2000, 0x1000), Gpa{0x1000});
  EXPECT_FALSE(window.Take(1, 1));
}

}  // namespace
}  // namespace kvmlet
