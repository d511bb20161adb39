// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/acpi_ged.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

#include "tests/devices/platform/access.h"
#include "tests/fakes/fake_guest_requests.h"

namespace kvmlet {
namespace {

using fakes::FakeGuestRequests;
using fakes::GuestRequest;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FakeLine : public IrqLine {
 public:
  explicit FakeLine(std::atomic<bool>& asserted) : asserted_(asserted) {}
  void Set(bool asserted) override { asserted_ = asserted; }

 private:
  std::atomic<bool>& asserted_;
};

class AcpiGedTest : public testing::Test {
 protected:
  std::atomic<bool> interrupt_ = false;
  FakeGuestRequests requests_;
  AcpiGed ged_{std::make_unique<FakeLine>(interrupt_), requests_};
};

TEST_F(AcpiGedTest, IsQuietAtPowerOn) {
  EXPECT_FALSE(interrupt_);
  EXPECT_EQ(ReadFrom(ged_, AcpiGed::kEventSelector, 4), 0u);
}

TEST_F(AcpiGedTest, PowerButtonInterruptsUntilTheSelectorIsRead) {
  ged_.PressPowerButton();
  EXPECT_TRUE(interrupt_);
  EXPECT_EQ(ReadFrom(ged_, AcpiGed::kEventSelector, 4),
            AcpiGed::kPowerButtonEvent);
  EXPECT_FALSE(interrupt_);
  EXPECT_EQ(ReadFrom(ged_, AcpiGed::kEventSelector, 4), 0u);
}

TEST_F(AcpiGedTest, EventsGather) {
  ged_.Raise(1u << 4);
  ged_.PressPowerButton();
  EXPECT_EQ(ReadFrom(ged_, AcpiGed::kEventSelector, 4), 0x11u);
}

TEST_F(AcpiGedTest, AnAccessToAPartOfTheSelectorTakesNothing) {
  ged_.PressPowerButton();
  EXPECT_EQ(ReadFrom(ged_, 0, 1), 0u);
  EXPECT_EQ(ReadFrom(ged_, 0, 2), 0u);
  EXPECT_EQ(ReadFrom(ged_, 0, 8), 0u);
  EXPECT_EQ(ReadFrom(ged_, 1, 4), 0u);
  EXPECT_TRUE(interrupt_);
  EXPECT_EQ(ReadFrom(ged_, 0, 4), 1u);
}

TEST_F(AcpiGedTest, WritesToTheSelectorDoNothing) {
  ged_.PressPowerButton();
  WriteTo(ged_, 0, 4, 0xffffffff);
  WriteTo(ged_, 0, 1, 0);
  EXPECT_TRUE(interrupt_);
  EXPECT_THAT(requests_.all(), IsEmpty());
}

TEST_F(AcpiGedTest, ResetDropsEventsAndInterrupt) {
  ged_.PressPowerButton();
  ged_.Reset();
  EXPECT_FALSE(interrupt_);
  EXPECT_EQ(ReadFrom(ged_, 0, 4), 0u);
}

TEST_F(AcpiGedTest, S5PowersOff) {
  WriteTo(ged_, AcpiGed::kSleepControl, 1, 0x20 | 5 << 2);
  EXPECT_THAT(requests_.all(),
              ElementsAre(GuestRequest{.kind = GuestRequest::kPowerOff,
                                       .door = Door::kAcpiSleep}));
}

TEST_F(AcpiGedTest, SleepNeedsItsEnableBitAndTheRightType) {
  WriteTo(ged_, AcpiGed::kSleepControl, 1, 5 << 2);
  for (uint64_t type = 0; type < 8; ++type) {
    if (type != 5) {
      WriteTo(ged_, AcpiGed::kSleepControl, 1, 0x20 | type << 2);
    }
  }
  EXPECT_THAT(requests_.all(), IsEmpty());
}

TEST_F(AcpiGedTest, ResetRegisterTakesOnlyItsValue) {
  WriteTo(ged_, AcpiGed::kReset, 1, 0);
  WriteTo(ged_, AcpiGed::kReset, 1, 3);
  EXPECT_THAT(requests_.all(), IsEmpty());
  WriteTo(ged_, AcpiGed::kReset, 1, AcpiGed::kResetValue);
  EXPECT_THAT(requests_.all(),
              ElementsAre(GuestRequest{.kind = GuestRequest::kReset,
                                       .door = Door::kAcpiReset}));
}

TEST_F(AcpiGedTest, WideWritesToTheByteRegistersDoNothing) {
  for (const size_t width : {2u, 4u, 8u}) {
    WriteTo(ged_, AcpiGed::kSleepControl, width, 0x34);
    WriteTo(ged_, AcpiGed::kReset, width, 1);
  }
  EXPECT_THAT(requests_.all(), IsEmpty());
}

TEST_F(AcpiGedTest, TheRestOfTheBlockIsZero) {
  for (uint64_t offset = 4; offset < 0x1000; ++offset) {
    for (const size_t width : {1u, 2u, 3u, 4u, 8u}) {
      EXPECT_EQ(ReadFrom(ged_, offset, width), 0u) << offset;
    }
  }
}

TEST_F(AcpiGedTest, NoEventIsLostToAReaderAtTheSameTime) {
  constexpr int kEvents = 20000;
  std::atomic<bool> done = false;
  std::jthread raiser([&] {
    for (int i = 0; i < kEvents; ++i) ged_.Raise(1u << (i % 32));
    done = true;
  });
  // Reads only while interrupted, as a guest does.
  uint32_t seen = 0;
  while (!done || interrupt_) {
    if (interrupt_) seen |= static_cast<uint32_t>(ReadFrom(ged_, 0, 4));
  }
  EXPECT_EQ(seen, 0xffffffffu);
  EXPECT_EQ(ReadFrom(ged_, 0, 4), 0u);
}

}  // namespace
}  // namespace kvmlet
