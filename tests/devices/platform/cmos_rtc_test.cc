// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/cmos_rtc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <vector>

#include "tests/devices/platform/access.h"

namespace kvmlet {
namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;
using ::testing::ElementsAre;

// Sunday, 2 March 2025, 14:05:09 UTC.
constexpr nanoseconds kThen = std::chrono::seconds(1740924309);

// Century, year, month, day, hours, minutes, seconds.
constexpr uint8_t kTimeRegisters[] = {0x32, 9, 8, 7, 4, 2, 0};

class CmosRtcTest : public testing::Test {
 protected:
  uint8_t Get(uint8_t index) {
    WriteTo(rtc_, 0, 1, index);
    return static_cast<uint8_t>(ReadFrom(rtc_, 1, 1));
  }
  void Set(uint8_t index, uint8_t value) {
    WriteTo(rtc_, 0, 1, index);
    WriteTo(rtc_, 1, 1, value);
  }
  std::vector<int> Time() {
    std::vector<int> out;
    for (const uint8_t index : kTimeRegisters) {
      out.push_back(Get(index));
    }
    return out;
  }
  // The way a kernel sets the time: stopped by SET and the divider's reset.
  void SetTime(const std::vector<uint8_t>& values) {
    Set(0x0b, 0x82);
    Set(0x0a, 0x76);
    size_t i = 0;
    for (const uint8_t index : kTimeRegisters) {
      Set(index, values[i++]);
    }
    Set(0x0b, 0x02);
    Set(0x0a, 0x26);
  }

  nanoseconds now_ = kThen;
  CmosRtc rtc_{[this] { return now_; }};
};

TEST_F(CmosRtcTest, TellsTheTimeInBcdAnd24Hours) {
  EXPECT_THAT(Time(), ElementsAre(0x20, 0x25, 0x03, 0x02, 0x14, 0x05, 0x09));
  EXPECT_EQ(Get(0x06), 1);  // Sunday
}

TEST_F(CmosRtcTest, TellsTheTimeInBinaryWhenAsked) {
  Set(0x0b, 0x06);
  EXPECT_THAT(Time(), ElementsAre(20, 25, 3, 2, 14, 5, 9));
}

TEST_F(CmosRtcTest, TellsTwelveHoursWhenAsked) {
  Set(0x0b, 0x00);
  EXPECT_EQ(Get(0x04), 0x82);  // 2 p.m.
  now_ -= 14h;
  EXPECT_EQ(Get(0x04), 0x12);  // midnight is 12 a.m.
  now_ += 12h;
  EXPECT_EQ(Get(0x04), 0x92);  // noon is 12 p.m.
}

TEST_F(CmosRtcTest, TimeGoesOn) {
  now_ += 24h * 365;
  EXPECT_THAT(Time(), ElementsAre(0x20, 0x26, 0x03, 0x02, 0x14, 0x05, 0x09));
}

TEST_F(CmosRtcTest, ControlRegistersAreAsAtPowerOn) {
  EXPECT_EQ(Get(0x0a), 0x26);
  EXPECT_EQ(Get(0x0b), 0x02);
  EXPECT_EQ(Get(0x0c), 0x00);
  EXPECT_EQ(Get(0x0d), 0x80);
}

TEST_F(CmosRtcTest, AnnouncesTheUpdate244MicrosecondsBefore) {
  now_ = kThen + 999755us;
  EXPECT_EQ(Get(0x0a) & 0x80, 0);
  now_ = kThen + 999756us;
  EXPECT_EQ(Get(0x0a) & 0x80, 0x80);
  now_ = kThen + 1s;
  EXPECT_EQ(Get(0x0a) & 0x80, 0);
}

TEST_F(CmosRtcTest, AnnouncesNoUpdateWhileStopped) {
  Set(0x0b, 0x82);
  now_ = kThen + 999999us;
  EXPECT_EQ(Get(0x0a) & 0x80, 0);
}

TEST_F(CmosRtcTest, UpdateInProgressCannotBeWritten) {
  Set(0x0a, 0xa6);
  EXPECT_EQ(Get(0x0a), 0x26);
}

TEST_F(CmosRtcTest, TimeThatTheGuestSetGoesOnFromThere) {
  SetTime({0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58});
  now_ += 500ms;  // the first update after the divider's reset
  EXPECT_THAT(Time(), ElementsAre(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59));
  now_ += 1s;
  EXPECT_THAT(Time(), ElementsAre(0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00));
}

TEST_F(CmosRtcTest, FirstUpdateComesHalfASecondAfterTheDividersReset) {
  SetTime({0x20, 0x25, 0x03, 0x02, 0x14, 0x05, 0x09});
  now_ += 499999us;
  EXPECT_EQ(Get(0x00), 0x09);
  now_ += 1us;
  EXPECT_EQ(Get(0x00), 0x10);
}

TEST_F(CmosRtcTest, StandsStillWhileSetIsSet) {
  Set(0x0b, 0x82);
  now_ += 10s;
  EXPECT_EQ(Get(0x00), 0x09);
  Set(0x0b, 0x02);
  EXPECT_EQ(Get(0x00), 0x09);
  now_ += 1s;
  EXPECT_EQ(Get(0x00), 0x10);
}

TEST_F(CmosRtcTest, OneFieldCanBeSetWhileTheClockRuns) {
  Set(0x02, 0x30);
  EXPECT_THAT(Time(), ElementsAre(0x20, 0x25, 0x03, 0x02, 0x14, 0x30, 0x09));
}

TEST_F(CmosRtcTest, FormatChosenWhileStoppedIsTheFormatOfTheTimeWritten) {
  Set(0x0b, 0x86);
  Set(0x02, 0x30);  // 48 minutes, in binary
  Set(0x04, 0x14);  // 20 hours
  Set(0x07, 2);
  Set(0x08, 3);
  Set(0x09, 25);
  Set(0x32, 20);
  Set(0x0b, 0x06);
  Set(0x0b, 0x02);
  EXPECT_EQ(Get(0x02), 0x48);
  EXPECT_EQ(Get(0x04), 0x20);
  EXPECT_EQ(Get(0x09), 0x25);
}

TEST_F(CmosRtcTest, FieldsBeyondTheirRangeCarryOver) {
  SetTime({0x20, 0x25, 0x02, 0x30, 0x25, 0x61, 0x00});
  EXPECT_THAT(Time(), ElementsAre(0x20, 0x25, 0x03, 0x03, 0x02, 0x01, 0x00));
}

TEST_F(CmosRtcTest, SenselessTimesAreHarmless) {
  constexpr uint8_t kFormats[] = {0x00, 0x02, 0x04, 0x06};
  constexpr uint8_t kValues[] = {0x00, 0x0a, 0x7f, 0x80, 0xaa, 0xff};
  for (const uint8_t b : kFormats) {
    for (const uint8_t value : kValues) {
      SetTime(std::vector<uint8_t>(7, value));
      Set(0x0b, b);
      const std::vector<int> time = Time();
      EXPECT_GE(time[2], 1);  // month
    }
  }
}

TEST_F(CmosRtcTest, AlarmsAndMemoryAreKept) {
  for (int index = 0; index < 128; ++index) {
    const bool memory = index == 1 || index == 3 || index == 5 ||
                        (index >= 0x0e && index != 0x32);
    if (!memory) continue;
    Set(static_cast<uint8_t>(index), static_cast<uint8_t>(index ^ 0x5a));
  }
  EXPECT_EQ(Get(0x01), 0x5b);
  EXPECT_EQ(Get(0x0e), 0x54);
  EXPECT_EQ(Get(0x7f), 0x25);
}

TEST_F(CmosRtcTest, InterruptAndStatusRegistersAreReadOnly) {
  Set(0x0c, 0xff);
  Set(0x0d, 0x00);
  EXPECT_EQ(Get(0x0c), 0x00);
  EXPECT_EQ(Get(0x0d), 0x80);
}

TEST_F(CmosRtcTest, NmiMaskIsNoPartOfTheIndex) {
  EXPECT_EQ(Get(0x80 | 0x0d), 0x80);
}

TEST_F(CmosRtcTest, IndexPortIsWriteOnly) {
  EXPECT_EQ(ReadFrom(rtc_, 0, 1), 0xffu);
}

TEST_F(CmosRtcTest, WideAccessReachesBothPorts) {
  WriteTo(rtc_, 0, 2, 0x5540);  // index 0x40, data 0x55
  EXPECT_EQ(Get(0x40), 0x55);
  EXPECT_EQ(ReadFrom(rtc_, 0, 2), 0x55ffu);
}

TEST_F(CmosRtcTest, ResetKeepsTimeAndMemoryAndEndsInterrupts) {
  SetTime({0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58});
  Set(0x40, 0x77);
  Set(0x0b, 0x7a);
  rtc_.Reset();
  EXPECT_EQ(Get(0x0b), 0x02);
  EXPECT_EQ(Get(0x40), 0x77);
  EXPECT_EQ(Get(0x09), 0x99);
}

TEST_F(CmosRtcTest, RandomAccessesAreHarmless) {
  std::mt19937 random(1);
  const size_t widths[] = {1, 2, 4, 8};
  for (int i = 0; i < 200000; ++i) {
    const uint64_t offset = random() % 2;
    const size_t width = widths[random() % 4];
    now_ += nanoseconds(random());
    if (random() % 2 == 0) {
      WriteTo(rtc_, offset, width, random());
    } else {
      ReadFrom(rtc_, offset, width);
    }
  }
  EXPECT_EQ(Get(0x0d), 0x80);
}

TEST(CmosRtcHostTest, FollowsTheHostsClock) {
  CmosRtc rtc;
  WriteTo(rtc, 0, 1, CmosRtc::kCenturyRegister);
  EXPECT_EQ(ReadFrom(rtc, 1, 1), 0x20u);
}

}  // namespace
}  // namespace kvmlet
