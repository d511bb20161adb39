// SPDX-License-Identifier: Apache-2.0
// A driver of the balloon that means no good.
#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "tests/devices/virtio/balloon/balloon_harness.h"

namespace kvmlet::virtio {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint32_t kFirst = 0x200;

class BalloonHostileTest : public testing::Test {
 protected:
  BalloonHostileTest() {
    EXPECT_TRUE(balloon_.Activate(kBalloonStats | kBalloonReporting, 4).ok());
  }
  void Inflate(const std::vector<uint32_t>& pages) {
    balloon_.drivers[0].Readable(std::as_bytes(std::span(pages))).Submit();
    balloon_.Kick(0);
  }
  uint64_t Word(uint64_t page) {
    return *balloon_.memory.Load<uint64_t>(Gpa{page * kPage});
  }
  void Fill(uint64_t page) {
    ASSERT_TRUE(balloon_.memory.Store(Gpa{page * kPage}, uint64_t{1}));
  }

  BalloonHarness balloon_{{.reporting = true}};
};

TEST_F(BalloonHostileTest, PagesOutsideOfRamAreLeftAlone) {
  constexpr uint32_t kLast = BalloonHarness::kMemory / kPage - 1;
  Fill(kLast);
  // A run that begins in RAM and ends outside, and the last number there is.
  Inflate({kLast, kLast + 1, kLast + 2, 0xfeb00, 0xfffffffe, 0xffffffff});
  EXPECT_EQ(Word(kLast), 0u);
  EXPECT_EQ(balloon_.device.inflated_bytes(), kPage);
  EXPECT_EQ(balloon_.drivers[0].used_index(), 1);
  EXPECT_EQ(balloon_.events.resets_asked, 0);
}

TEST_F(BalloonHostileTest, OddLengthsAndEmptyBuffers) {
  Fill(kFirst);
  std::vector<std::byte> bytes(7);
  const uint32_t page = kFirst;
  std::memcpy(bytes.data(), &page, sizeof(page));
  balloon_.drivers[0].Readable(std::span<const std::byte>(bytes)).Submit();
  balloon_.Kick(0);
  EXPECT_EQ(Word(kFirst), 0u);
  balloon_.drivers[0].Writable(64).Submit();  // nothing to read
  balloon_.drivers[3].ReadableText("nothing to report").Submit();
  balloon_.Kick(0);
  balloon_.Kick(3);
  EXPECT_EQ(balloon_.drivers[0].used_index(), 2);
  EXPECT_EQ(balloon_.drivers[3].used_index(), 1);
}

TEST_F(BalloonHostileTest, ALongListIsCut) {
  std::vector<uint32_t> pages(BalloonDevice::kMaxPages, 0xffffffff);
  pages.push_back(kFirst);
  Fill(kFirst);
  Inflate(pages);
  EXPECT_EQ(Word(kFirst), 1u);
  EXPECT_EQ(balloon_.drivers[0].used_index(), 1);
}

TEST_F(BalloonHostileTest, ARangeThatIsNoPageIsKept) {
  Fill(kFirst);
  balloon_.drivers[3].WritableAt(Gpa{kFirst * kPage}, 100).Submit();
  balloon_.drivers[3].WritableAt(Gpa{kFirst * kPage + 1}, kPage + 1).Submit();
  balloon_.Kick(3);
  EXPECT_EQ(balloon_.drivers[3].used_index(), 2);
  EXPECT_EQ(Word(kFirst), 1u);
  EXPECT_EQ(balloon_.device.reported_bytes(), 0u);
}

TEST_F(BalloonHostileTest, AReportOutsideOfRamAsksForReset) {
  balloon_.drivers[3]
      .WritableAt(Gpa{BalloonHarness::kMemory - kPage}, 2 * kPage)
      .Submit();
  balloon_.Kick(3);
  EXPECT_EQ(balloon_.events.resets_asked, 1);
  balloon_.Kick(3);
  EXPECT_EQ(balloon_.events.resets_asked, 1);
  // The other queues go on.
  Inflate({kFirst});
  EXPECT_EQ(balloon_.drivers[0].used_index(), 1);
}

TEST_F(BalloonHostileTest, TheRingsThemselvesMayBeGivenBack) {
  std::vector<uint32_t> pages;
  for (uint32_t page = 0; page < BalloonHarness::kMemory / kPage; ++page) {
    pages.push_back(page);
  }
  for (int i = 0; i < 3; ++i) Inflate(pages);
  balloon_.device.Reset();
}

TEST_F(BalloonHostileTest, MoreStatisticsBuffersThanOne) {
  for (int i = 0; i < 40; ++i) {
    balloon_.drivers[2].Readable(BalloonStatEntry{4, 1}).Submit();
  }
  balloon_.Kick(2);
  balloon_.Turn();
  // All but the one that is held came back.
  EXPECT_EQ(balloon_.drivers[2].used_index(), 39);
}

TEST_F(BalloonHostileTest, AStatisticsBufferWithoutEnd) {
  const std::vector<std::byte> many(40000, std::byte{1});
  balloon_.drivers[2].Readable(std::span<const std::byte>(many)).Submit();
  balloon_.drivers[2].Writable(100).Submit();
  balloon_.Kick(2);
  EXPECT_TRUE(balloon_.device.statistics().updated);
}

TEST_F(BalloonHostileTest, AnIndexJumpBreaksOneQueue) {
  balloon_.drivers[1].SetAvailIndex(5000);
  balloon_.Kick(1);
  EXPECT_EQ(balloon_.events.resets_asked, 1);
}

}  // namespace
}  // namespace kvmlet::virtio
