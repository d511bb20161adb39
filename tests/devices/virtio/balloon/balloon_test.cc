// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/balloon.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "tests/devices/virtio/balloon/balloon_harness.h"

namespace kvmlet::virtio {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kPage = 4096;
// Pages beyond the queues and their buffers.
constexpr uint32_t kFirst = 0x200;
constexpr uint64_t kContent = 0x1122334455667788;

void FillPages(const GuestMemory& memory) {
  for (uint64_t page = kFirst; page < BalloonHarness::kMemory / kPage; ++page) {
    ASSERT_TRUE(memory.Store(Gpa{page * kPage}, kContent));
  }
}

bool Gone(const GuestMemory& memory, uint64_t page) {
  return *memory.Load<uint64_t>(Gpa{page * kPage}) == 0;
}

// Lets the driver give up these pages.
void Inflate(BalloonHarness& balloon, const std::vector<uint32_t>& pages,
             size_t queue = 0) {
  balloon.drivers[queue].Readable(std::as_bytes(std::span(pages))).Submit();
  balloon.Kick(queue);
}

void Report(BalloonHarness& balloon, size_t queue, uint64_t page,
            uint32_t length) {
  balloon.drivers[queue].WritableAt(Gpa{page * kPage}, length).Submit();
  balloon.Kick(queue);
}

template <typename T>
void WriteConfig(BalloonDevice& device, uint32_t offset, T value) {
  device.WriteConfig(offset, std::as_bytes(std::span(&value, 1)));
}

uint32_t ReadConfig(BalloonDevice& device, uint32_t offset) {
  uint32_t value = 0;
  device.ReadConfig(offset, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

BalloonStatEntry Entry(uint16_t tag, uint64_t value) { return {tag, value}; }

TEST(BalloonTest, FeaturesFollowTheOptions) {
  const auto features = [](BalloonOptions options) {
    const auto loop = *EventLoop::Create();
    return BalloonDevice(std::move(options), *loop).device_features();
  };
  EXPECT_EQ(features({}), kBalloonStats);
  EXPECT_EQ(features({.deflate_on_oom = true}),
            kBalloonStats | kBalloonDeflateOnOom);
  EXPECT_EQ(features({.reporting = true}),
            kBalloonStats | kBalloonReporting | kBalloonPagePoison);
  EXPECT_EQ(features({.reporting = true, .discards_to_zero = false}),
            kBalloonStats | kBalloonReporting);
}

TEST(BalloonTest, InflationGivesExactlyThesePagesBack) {
  BalloonHarness balloon;
  FillPages(balloon.memory);
  ASSERT_TRUE(balloon.Activate(0, 2).ok());
  // A run out of order, a double, and a single page.
  Inflate(balloon,
          {kFirst + 3, kFirst + 1, kFirst + 2, kFirst + 2, kFirst + 9});
  for (uint32_t page = kFirst; page < kFirst + 12; ++page) {
    const uint32_t at = page - kFirst;
    EXPECT_EQ(Gone(balloon.memory, page), (at >= 1 && at <= 3) || at == 9);
  }
  EXPECT_EQ(balloon.device.inflated_bytes(), 4 * kPage);
  EXPECT_EQ(balloon.drivers[0].PopUsed()->len, 0u);
}

TEST(BalloonTest, DeflationLeavesTheGuestItsPages) {
  BalloonHarness balloon;
  ASSERT_TRUE(balloon.Activate(0, 2).ok());
  Inflate(balloon, {kFirst});
  ASSERT_TRUE(balloon.memory.Store(Gpa{kFirst * kPage}, kContent));
  Inflate(balloon, {kFirst}, /*queue=*/1);
  EXPECT_EQ(balloon.drivers[1].used_index(), 1);
  EXPECT_FALSE(Gone(balloon.memory, kFirst));
}

TEST(BalloonTest, TheTargetIsTheDriversConfiguration) {
  BalloonHarness balloon;
  balloon.device.SetTarget(5);
  EXPECT_EQ(balloon.events.configs, 0);  // nobody to tell yet
  ASSERT_TRUE(balloon.Activate(0, 2).ok());
  EXPECT_EQ(ReadConfig(balloon.device, 0), 5u);
  balloon.device.SetTarget(7);
  EXPECT_EQ(balloon.events.configs, 1);
  EXPECT_EQ(ReadConfig(balloon.device, 0), 7u);
}

TEST(BalloonTest, TheDriverTellsItsActualSizeOnly) {
  int changes = 0;
  BalloonHarness balloon({.on_change = [&changes] { ++changes; }});
  WriteConfig<uint32_t>(balloon.device, 4, 100);
  WriteConfig<uint32_t>(balloon.device, 4, 100);
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(balloon.device.actual(), 100u);
  WriteConfig<uint32_t>(balloon.device, 0, 9);  // num_pages
  WriteConfig<uint32_t>(balloon.device, 8, 9);  // free_page_hint_cmd_id
  EXPECT_EQ(ReadConfig(balloon.device, 0), 0u);
  EXPECT_EQ(ReadConfig(balloon.device, 8), 0u);
  WriteConfig<uint8_t>(balloon.device, 5, 1);
  EXPECT_EQ(balloon.device.actual(), 0x164u);
}

TEST(BalloonTest, ResetForgetsWhatTheDriverSaid) {
  int changes = 0;
  BalloonHarness balloon({.on_change = [&changes] { ++changes; }});
  ASSERT_TRUE(balloon.Activate(0, 3).ok());
  balloon.device.SetTarget(50);
  WriteConfig<uint32_t>(balloon.device, 4, 50);
  WriteConfig<uint32_t>(balloon.device, 12, 1);
  balloon.device.Reset();
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(balloon.device.actual(), 0u);
  EXPECT_EQ(ReadConfig(balloon.device, 12), 0u);
  EXPECT_EQ(balloon.device.target(), 50u);  // the next driver's, too
  Inflate(balloon, {kFirst});
  EXPECT_EQ(balloon.drivers[0].used_index(), 0);
}

TEST(BalloonTest, ReportedRangesGoBack) {
  BalloonHarness balloon({.reporting = true});
  FillPages(balloon.memory);
  ASSERT_TRUE(balloon.Activate(kBalloonStats | kBalloonReporting, 4).ok());
  balloon.drivers[3]
      .WritableAt(Gpa{kFirst * kPage}, 2 * kPage)
      .WritableAt(Gpa{(kFirst + 4) * kPage}, kPage)
      .Submit();
  balloon.Kick(3);
  EXPECT_EQ(balloon.drivers[3].PopUsed()->len, 0u);
  EXPECT_TRUE(Gone(balloon.memory, kFirst));
  EXPECT_TRUE(Gone(balloon.memory, kFirst + 1));
  EXPECT_FALSE(Gone(balloon.memory, kFirst + 2));
  EXPECT_TRUE(Gone(balloon.memory, kFirst + 4));
  EXPECT_EQ(balloon.device.reported_bytes(), 3 * kPage);
  EXPECT_THAT(balloon.events.queues, ElementsAre(3));
}

TEST(BalloonTest, PoisonedPagesKeepTheirContent) {
  BalloonHarness balloon({.reporting = true});
  FillPages(balloon.memory);
  WriteConfig<uint32_t>(balloon.device, 12, 0xaaaaaaaa);
  ASSERT_TRUE(
      balloon
          .Activate(kBalloonStats | kBalloonReporting | kBalloonPagePoison, 4)
          .ok());
  Report(balloon, 3, kFirst, kPage);
  EXPECT_EQ(balloon.drivers[3].used_index(), 1);
  EXPECT_FALSE(Gone(balloon.memory, kFirst));
  // Zeroes are what a page that was given back reads as.
  WriteConfig<uint32_t>(balloon.device, 12, 0);
  Report(balloon, 3, kFirst, kPage);
  EXPECT_TRUE(Gone(balloon.memory, kFirst));
}

TEST(BalloonTest, APoisonThatWasNotNegotiatedDoesNotCount) {
  BalloonHarness balloon({.reporting = true});
  FillPages(balloon.memory);
  WriteConfig<uint32_t>(balloon.device, 12, 0xaaaaaaaa);
  ASSERT_TRUE(balloon.Activate(kBalloonStats | kBalloonReporting, 4).ok());
  Report(balloon, 3, kFirst, kPage);
  EXPECT_TRUE(Gone(balloon.memory, kFirst));
}

// The queue that reports, for each subset of features and both ways to count.
TEST(BalloonTest, QueuesAreCountedAsLinuxDoesOrAsSpecified) {
  struct Case {
    uint64_t features;
    size_t first;
    std::vector<size_t> more;
    size_t queue;
  };
  const Case cases[] = {
      {kBalloonReporting, 3, {}, 2},
      {kBalloonStats | kBalloonReporting, 4, {}, 3},
      {kBalloonReporting, 2, {4}, 4},
      {kBalloonStats | kBalloonReporting, 3, {4}, 4},
  };
  for (const Case& test : cases) {
    BalloonHarness balloon({.reporting = true});
    FillPages(balloon.memory);
    ASSERT_TRUE(balloon.Activate(test.features, test.first, test.more).ok());
    Report(balloon, test.queue, kFirst, kPage);
    EXPECT_TRUE(Gone(balloon.memory, kFirst)) << test.queue;
  }
}

TEST(BalloonTest, WhileInhibitedRequestsHaveNoEffect) {
  BalloonHarness balloon({.reporting = true});
  FillPages(balloon.memory);
  balloon.device.Inhibit(true);
  ASSERT_TRUE(balloon.Activate(kBalloonStats | kBalloonReporting, 4).ok());
  Inflate(balloon, {kFirst});
  Report(balloon, 3, kFirst + 1, kPage);
  EXPECT_EQ(balloon.drivers[0].used_index(), 1);
  EXPECT_EQ(balloon.drivers[3].used_index(), 1);
  EXPECT_FALSE(Gone(balloon.memory, kFirst));
  EXPECT_FALSE(Gone(balloon.memory, kFirst + 1));
}

TEST(BalloonTest, StatisticsAreKeptAndTheBufferIsHeld) {
  BalloonHarness balloon;
  EXPECT_FALSE(balloon.device.statistics().updated);
  ASSERT_TRUE(balloon.Activate(kBalloonStats, 3).ok());
  balloon.drivers[2]
      .Readable(Entry(4, 1000))
      .Readable(Entry(15, 7))
      .Readable(Entry(16, 8))  // of a newer driver
      .Readable(Entry(0xffff, 9))
      .Submit();
  balloon.Kick(2);
  const BalloonStatistics statistics = balloon.device.statistics();
  EXPECT_TRUE(statistics.updated);
  EXPECT_EQ(statistics.values[4], 1000u);
  EXPECT_EQ(statistics.values[15], 7u);
  EXPECT_EQ(statistics.values[0], UINT64_MAX);
  EXPECT_EQ(balloon.drivers[2].used_index(), 0);
}

TEST(BalloonTest, PollingReturnsTheBuffer) {
  BalloonHarness balloon;
  ASSERT_TRUE(balloon.Activate(kBalloonStats, 3).ok());
  balloon.drivers[2].Readable(Entry(4, 1)).Submit();
  balloon.Kick(2);
  balloon.device.SetStatsInterval(std::chrono::seconds(1));
  EXPECT_EQ(balloon.drivers[2].used_index(), 1);  // at once
  balloon.drivers[2].Readable(Entry(4, 2)).Submit();
  balloon.Kick(2);
  EXPECT_EQ(balloon.device.statistics().values[4], 2u);
  EXPECT_EQ(balloon.drivers[2].used_index(), 1);
  balloon.TurnFor(std::chrono::milliseconds(1200));
  EXPECT_EQ(balloon.drivers[2].used_index(), 2);
  EXPECT_THAT(balloon.events.queues, ElementsAre(2, 2));
  balloon.device.SetStatsInterval(std::chrono::seconds(0));
}

TEST(BalloonTest, PollingWithoutABufferIsHarmless) {
  BalloonHarness balloon({.stats_interval = std::chrono::seconds(1)});
  ASSERT_TRUE(balloon.Activate(0, 2).ok());
  balloon.TurnFor(std::chrono::milliseconds(1100));
  EXPECT_THAT(balloon.events.queues, IsEmpty());
  balloon.device.Reset();
  balloon.device.SetStatsInterval(std::chrono::seconds(2));
}

TEST(BalloonTest, ResetWhileABufferIsHeld) {
  BalloonHarness balloon({.stats_interval = std::chrono::seconds(1)});
  ASSERT_TRUE(balloon.Activate(kBalloonStats, 3).ok());
  balloon.drivers[2].Readable(Entry(4, 1)).Submit();
  balloon.Kick(2);
  balloon.device.Reset();
  balloon.TurnFor(std::chrono::milliseconds(1100));
  EXPECT_EQ(balloon.drivers[2].used_index(), 0);
  EXPECT_FALSE(balloon.device.statistics().updated);
}

}  // namespace
}  // namespace kvmlet::virtio
