// SPDX-License-Identifier: Apache-2.0
// The arm64 machine's small devices: clock, power button, GICv2m frame.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "devices/platform/gic_v2m.h"
#include "devices/platform/pl031.h"
#include "devices/platform/pl061.h"
#include "tests/devices/platform/access.h"
#include "tests/fakes/fake_interrupts.h"

namespace kvmlet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Id(IoDevice& device) {
  std::string id;
  for (uint64_t at = 0xfe0; at < 0x1000; at += 4) {
    id.push_back(static_cast<char>(ReadFrom(device, at, 4)));
  }
  return id;
}

void TouchEverything(IoDevice& device) {
  for (uint64_t offset = 0; offset < 0x1000; ++offset) {
    for (const size_t width : {1u, 2u, 4u, 8u}) {
      if (offset + width > 0x1000) continue;
      WriteTo(device, offset, width, UINT64_MAX);
      ReadFrom(device, offset, width);
    }
  }
}

class Pl031Test : public testing::Test {
 protected:
  enum Offset : uint64_t {
    kDr = 0x00,
    kMr = 0x04,
    kLr = 0x08,
    kCr = 0x0c,
    kImsc = 0x10,
    kRis = 0x14,
    kMis = 0x18,
    kIcr = 0x1c,
  };
  std::chrono::seconds now_{1'700'000'000};
  Pl031 rtc_{[this] { return now_; }};
};

TEST_F(Pl031Test, TellsTheHostsTime) {
  EXPECT_EQ(ReadFrom(rtc_, kDr, 4), 1'700'000'000u);
  now_ += std::chrono::seconds(5);
  EXPECT_EQ(ReadFrom(rtc_, kDr, 4), 1'700'000'005u);
  EXPECT_EQ(ReadFrom(rtc_, kCr, 4), 1u);
  EXPECT_EQ(Id(rtc_), std::string("\x31\x10\x04\x00\x0d\xf0\x05\xb1", 8));
}

TEST_F(Pl031Test, GuestSetsItAndResetKeepsIt) {
  WriteTo(rtc_, kLr, 4, 1000);
  now_ += std::chrono::seconds(7);
  EXPECT_EQ(ReadFrom(rtc_, kDr, 4), 1007u);
  EXPECT_EQ(ReadFrom(rtc_, kLr, 4), 1000u);
  rtc_.Reset();
  EXPECT_EQ(ReadFrom(rtc_, kDr, 4), 1007u);
}

TEST_F(Pl031Test, WorksBeyond2038AndWrapsIn2106) {
  now_ = std::chrono::seconds(0xffff'ffff);
  EXPECT_EQ(ReadFrom(rtc_, kDr, 4), 0xffff'ffffu);
  now_ += std::chrono::seconds(1);
  EXPECT_EQ(ReadFrom(rtc_, kDr, 4), 0u);
}

TEST_F(Pl031Test, MatchLatchesUntilItIsCleared) {
  EXPECT_EQ(ReadFrom(rtc_, kRis, 4), 0u);
  WriteTo(rtc_, kMr, 4, 1'700'000'010);
  EXPECT_EQ(ReadFrom(rtc_, kRis, 4), 0u);
  now_ += std::chrono::seconds(11);
  EXPECT_EQ(ReadFrom(rtc_, kRis, 4), 1u);
  EXPECT_EQ(ReadFrom(rtc_, kMis, 4), 0u);
  WriteTo(rtc_, kImsc, 4, 1);
  EXPECT_EQ(ReadFrom(rtc_, kMis, 4), 1u);
  WriteTo(rtc_, kIcr, 4, 1);
  EXPECT_EQ(ReadFrom(rtc_, kRis, 4), 0u);
}

TEST_F(Pl031Test, EveryAccessIsHarmless) {
  TouchEverything(rtc_);
  EXPECT_EQ(ReadFrom(rtc_, 0x100, 4), 0u);
}

class Pl061Test : public testing::Test {
 protected:
  enum Offset : uint64_t {
    kAll = 0x3fc,
    kButton = 1u << (3 + 2),  // the data register masked to line 3
    kDir = 0x400,
    kIs = 0x404,
    kIbe = 0x408,
    kIev = 0x40c,
    kIe = 0x410,
    kMis = 0x418,
    kIc = 0x41c,
  };
  bool irq() { return interrupts_.line(0).asserted; }
  // What Linux' driver does for an interrupt on both edges.
  void ListenToBothEdges() {
    WriteTo(gpio_, kIbe, 1, 0x08);
    WriteTo(gpio_, kIe, 1, 0x08);
  }

  fakes::FakeInterrupts interrupts_;
  Pl061 gpio_{*interrupts_.CreateLine(7)};
};

TEST_F(Pl061Test, PressIsSeenDownThenUp) {
  ListenToBothEdges();
  EXPECT_FALSE(irq());
  gpio_.PressPowerButton();
  EXPECT_TRUE(irq());
  EXPECT_EQ(ReadFrom(gpio_, kMis, 1), 0x08u);
  WriteTo(gpio_, kIc, 1, 0x08);
  EXPECT_FALSE(irq());
  EXPECT_EQ(ReadFrom(gpio_, kButton, 1), 0x08u);
  // Having been seen it goes up, which is the second edge.
  EXPECT_TRUE(irq());
  WriteTo(gpio_, kIc, 1, 0x08);
  EXPECT_EQ(ReadFrom(gpio_, kButton, 1), 0u);
  EXPECT_FALSE(irq());
}

TEST_F(Pl061Test, PressBeforeTheDriverWaitsForIt) {
  gpio_.PressPowerButton();
  EXPECT_FALSE(irq());
  ListenToBothEdges();
  // Linux' gpio-keys reads the line when it is opened.
  EXPECT_EQ(ReadFrom(gpio_, kButton, 1), 0x08u);
  EXPECT_TRUE(irq());
  EXPECT_EQ(ReadFrom(gpio_, kButton, 1), 0u);
}

TEST_F(Pl061Test, PressingTwiceIsOnePressUntilItIsSeen) {
  ListenToBothEdges();
  gpio_.PressPowerButton();
  WriteTo(gpio_, kIc, 1, 0xff);
  gpio_.PressPowerButton();
  EXPECT_FALSE(irq());
  EXPECT_EQ(ReadFrom(gpio_, kAll, 1), 0x08u);
  WriteTo(gpio_, kIc, 1, 0xff);
  gpio_.PressPowerButton();
  EXPECT_TRUE(irq());
}

TEST_F(Pl061Test, LevelInterruptFollowsTheLine) {
  WriteTo(gpio_, kIs, 1, 0x08);
  WriteTo(gpio_, kIev, 1, 0x08);
  WriteTo(gpio_, kIe, 1, 0x08);
  EXPECT_FALSE(irq());
  gpio_.PressPowerButton();
  EXPECT_TRUE(irq());
  WriteTo(gpio_, kIc, 1, 0xff);
  EXPECT_TRUE(irq());
  ReadFrom(gpio_, kAll, 1);
  EXPECT_FALSE(irq());
}

TEST_F(Pl061Test, OutputsReadBackThroughTheirMask) {
  WriteTo(gpio_, kDir, 1, 0x03);
  WriteTo(gpio_, kAll, 1, 0xff);
  EXPECT_EQ(ReadFrom(gpio_, kAll, 1), 0x03u);
  WriteTo(gpio_, 0x01 << 2, 1, 0x00);
  EXPECT_EQ(ReadFrom(gpio_, kAll, 1), 0x02u);
}

TEST_F(Pl061Test, ResetReleasesTheButton) {
  ListenToBothEdges();
  gpio_.PressPowerButton();
  gpio_.Reset();
  EXPECT_FALSE(irq());
  EXPECT_EQ(ReadFrom(gpio_, kAll, 1), 0u);
  EXPECT_EQ(ReadFrom(gpio_, kIbe, 1), 0u);
}

TEST_F(Pl061Test, EveryAccessIsHarmless) {
  TouchEverything(gpio_);
  EXPECT_EQ(Id(gpio_), std::string("\x61\x10\x04\x00\x0d\xf0\x05\xb1", 8));
}

class GicV2mTest : public testing::Test {
 protected:
  std::vector<uint32_t> pulses_;
  GicV2m frame_{{.first = 96, .count = 64, .pulse = [this](uint32_t n) {
                   pulses_.push_back(n);
                 }}};
};

TEST_F(GicV2mTest, TellsItsInterrupts) {
  EXPECT_EQ(ReadFrom(frame_, GicV2m::kTyper, 4), 96u << 16 | 64);
  EXPECT_EQ(ReadFrom(frame_, GicV2m::kIidr, 4), 0u);
}

TEST_F(GicV2mTest, DoorbellRaisesItsOwnInterruptsOnly) {
  for (const uint32_t n : {95u, 96u, 159u, 160u, 0u, 0xffffffffu}) {
    WriteTo(frame_, GicV2m::kSetSpi, 4, n);
  }
  WriteTo(frame_, GicV2m::kTyper, 4, 100);
  EXPECT_THAT(pulses_, ElementsAre(96, 159));
}

TEST_F(GicV2mTest, EveryAccessIsHarmless) {
  TouchEverything(frame_);
  EXPECT_THAT(pulses_, IsEmpty());
}

}  // namespace
}  // namespace kvmlet
