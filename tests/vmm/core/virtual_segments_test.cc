// SPDX-License-Identifier: Apache-2.0
#include "vmm/core/virtual_segments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace kvmlet {
namespace {

using arch::CoreMapping;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kKernel = 0xffff'8000'0000'0000;
constexpr std::array kRanges = {
    CoreRange{.base = Gpa{0x1000}, .size = 0x3000, .offset = 0},
    CoreRange{.base = Gpa{0x8000}, .size = 0x2000, .offset = 0x3000}};

std::vector<Elf64_Phdr> Segments(const CoreMapping& mapping,
                                 size_t most = 100) {
  return VirtualSegments(std::span(&mapping, 1), kRanges, most);
}

TEST(VirtualSegmentsTest, PointAtTheBytesOfTheRange) {
  const auto segments = Segments({kKernel, Gpa{0x2000}, 0x1000});
  ASSERT_THAT(segments, SizeIs(1));
  EXPECT_EQ(segments[0].p_vaddr, kKernel);
  EXPECT_EQ(segments[0].p_paddr, 0x2000u);
  EXPECT_EQ(segments[0].p_offset, 0x1000u);
  EXPECT_EQ(segments[0].p_filesz, 0x1000u);
}

TEST(VirtualSegmentsTest, AreCutToTheRanges) {
  const auto segments = Segments({kKernel, Gpa{0}, 0x100000});
  ASSERT_THAT(segments, SizeIs(2));
  EXPECT_EQ(segments[0].p_vaddr, kKernel + 0x1000);
  EXPECT_EQ(segments[0].p_filesz, 0x3000u);
  EXPECT_EQ(segments[1].p_vaddr, kKernel + 0x8000);
  EXPECT_EQ(segments[1].p_offset, 0x3000u);
  EXPECT_EQ(segments[1].p_filesz, 0x2000u);
}

TEST(VirtualSegmentsTest, WhatIsNotInTheFileHasNone) {
  EXPECT_THAT(Segments({kKernel, Gpa{0x5000}, 0x2000}), IsEmpty());
  EXPECT_THAT(Segments({kKernel, Gpa{0xa000}, 0x1000}), IsEmpty());
  EXPECT_THAT(Segments({kKernel, Gpa{0x2000}, 0}), IsEmpty());
  EXPECT_THAT(Segments({kKernel, Gpa{~0ull - 0xfff}, 0x2000}), IsEmpty());
}

TEST(VirtualSegmentsTest, StopAtTheMost) {
  EXPECT_THAT(Segments({kKernel, Gpa{0}, 0x100000}, 1), SizeIs(1));
}

}  // namespace
}  // namespace kvmlet
