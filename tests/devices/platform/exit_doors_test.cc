// SPDX-License-Identifier: Apache-2.0
// The small devices through which a guest leaves: exit device, pvpanic, i8042.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "devices/platform/exit_device.h"
#include "devices/platform/i8042.h"
#include "devices/platform/pvpanic.h"
#include "tests/devices/platform/access.h"
#include "tests/fakes/fake_guest_requests.h"

namespace kvmlet {
namespace {

using fakes::FakeGuestRequests;
using fakes::GuestRequest;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

GuestRequest Exit(uint64_t code) {
  return {.kind = GuestRequest::kExit, .door = Door::kExitDevice, .code = code};
}

class ExitDeviceTest : public testing::Test {
 protected:
  FakeGuestRequests requests_;
  ExitDevice device_{requests_};
};

TEST_F(ExitDeviceTest, ValueIsTheVerdictAtEveryWidth) {
  WriteTo(device_, 0, 1, 0);
  WriteTo(device_, 0, 1, 0xff);
  WriteTo(device_, 0, 2, 0x1234);
  WriteTo(device_, 0, 4, 0xfedcba98);
  EXPECT_THAT(requests_.all(),
              ElementsAre(Exit(0), Exit(0xff), Exit(0x1234), Exit(0xfedcba98)));
}

TEST_F(ExitDeviceTest, OtherOffsetsAndWidthsAreIgnored) {
  WriteTo(device_, 1, 1, 7);
  WriteTo(device_, 2, 2, 7);
  WriteTo(device_, 0, 8, 7);
  EXPECT_THAT(requests_.all(), IsEmpty());
}

TEST_F(ExitDeviceTest, ReadsAsZero) {
  EXPECT_EQ(ReadFrom(device_, 0, 4), 0u);
  EXPECT_EQ(ReadFrom(device_, 3, 1), 0u);
}

GuestRequest Panic(bool crash_loaded) {
  return {.kind = GuestRequest::kPanic,
          .door = Door::kPvpanic,
          .crash_loaded = crash_loaded};
}

class PvpanicTest : public testing::Test {
 protected:
  FakeGuestRequests requests_;
  Pvpanic device_{requests_};
};

TEST_F(PvpanicTest, ReadsAsTheEventsItKnows) {
  EXPECT_EQ(ReadFrom(device_, 0, 1), 3u);
}

TEST_F(PvpanicTest, TellsPanicFromCrashKernel) {
  WriteTo(device_, 0, 1, 1);
  WriteTo(device_, 0, 1, 2);
  EXPECT_THAT(requests_.all(), ElementsAre(Panic(false), Panic(true)));
}

TEST_F(PvpanicTest, PanicWinsWhenBothAreReported) {
  WriteTo(device_, 0, 1, 3);
  EXPECT_THAT(requests_.all(), ElementsAre(Panic(false)));
}

TEST_F(PvpanicTest, UnknownEventsAndOtherAccessesAreIgnored) {
  WriteTo(device_, 0, 1, 0);
  WriteTo(device_, 0, 1, 0xfc);
  WriteTo(device_, 0, 2, 1);
  WriteTo(device_, 0, 4, 1);
  WriteTo(device_, 1, 1, 1);
  EXPECT_THAT(requests_.all(), IsEmpty());
}

class I8042Test : public testing::Test {
 protected:
  FakeGuestRequests requests_;
  I8042 device_{requests_};
};

TEST_F(I8042Test, BuffersAreAlwaysEmpty) {
  EXPECT_EQ(ReadFrom(device_, I8042::kCommand, 1), 0u);
  EXPECT_EQ(ReadFrom(device_, I8042::kData, 1), 0u);
}

TEST_F(I8042Test, PulseOfLineZeroResets) {
  WriteTo(device_, I8042::kCommand, 1, 0xfe);
  EXPECT_THAT(requests_.all(),
              ElementsAre(GuestRequest{.kind = GuestRequest::kReset,
                                       .door = Door::kI8042}));
}

TEST_F(I8042Test, EveryOtherCommandIsIgnored) {
  for (uint64_t command = 0; command < 0x100; ++command) {
    const bool pulses_reset = command >= 0xf0 && command % 2 == 0;
    if (!pulses_reset) WriteTo(device_, I8042::kCommand, 1, command);
  }
  EXPECT_THAT(requests_.all(), IsEmpty());
}

TEST_F(I8042Test, OtherPortsAndWidthsAreIgnored) {
  WriteTo(device_, I8042::kCommand, 2, 0xfe);
  for (uint64_t offset = 0; offset < I8042::kCommand; ++offset) {
    WriteTo(device_, offset, 1, 0xfe);
  }
  EXPECT_THAT(requests_.all(), IsEmpty());
  EXPECT_EQ(ReadFrom(device_, 1, 1), 0xffu);
  EXPECT_EQ(ReadFrom(device_, 0, 4), 0xffffffffu);
}

}  // namespace
}  // namespace kvmlet
