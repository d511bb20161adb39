// SPDX-License-Identifier: Apache-2.0
// Drivers that break the rules of Virtio 1.2, section 4.1, and BARs where no
// BAR should be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/devices/virtio/transport_fixture.h"

namespace kvmlet::virtio {
namespace {

using ::testing::IsEmpty;

class HostileTransportTest : public TransportFixture {
 protected:
  // The PCI_CFG capability.
  uint64_t Window() {
    uint64_t at = Read(Config(0x34), 1);
    while (at != 0 && (Read(Config(at), 1) != 0x09 ||
                       Read(Config(at + 3), 1) != kPciCapAccess)) {
      at = Read(Config(at + 1), 1);
    }
    return Config(at);
  }
  void AimWindow(uint64_t bar, uint64_t offset, uint64_t length) {
    Write(Window() + 4, 1, bar);
    Write(Window() + 8, 4, offset);
    Write(Window() + 12, 4, length);
  }
};

TEST_F(HostileTransportTest, AMisalignedRingNeedsReset) {
  NegotiateAll();
  QueueConfig queue = driver_.config();
  queue.desc = queue.desc + 1;
  SetUpQueue(0, queue);

  SetStatus(15);

  EXPECT_EQ(Status(), 15 | kStatusNeedsReset);
  EXPECT_EQ(device_->activations, 0);
  EXPECT_THAT(doorbells_.attached(), IsEmpty());
}

TEST_F(HostileTransportTest, ARingOutsideRamNeedsReset) {
  NegotiateAll();
  QueueConfig queue = driver_.config();
  queue.device = Gpa{0xfffffffffffffff0};
  SetUpQueue(0, queue);

  SetStatus(15);

  EXPECT_EQ(Status(), 15 | kStatusNeedsReset);
}

TEST_F(HostileTransportTest, ARefusedActivationNeedsResetAndCanBeRetried) {
  device_->fail_activation = true;
  StartDriver();
  EXPECT_EQ(Status(), 15 | kStatusNeedsReset);

  device_->fail_activation = false;
  StartDriver();

  EXPECT_EQ(Status(), 15);
  EXPECT_TRUE(device_->active);
}

TEST_F(HostileTransportTest, AFailedDeviceGetsNoDoorbellsWhenItsBarMoves) {
  device_->fail_activation = true;
  StartDriver();

  MoveBar(kWindow64 + 0x100000);

  EXPECT_THAT(doorbells_.attached(), IsEmpty());
}

TEST_F(HostileTransportTest, WithoutRoomForDoorbellsKicksStillArrive) {
  doorbells_.Fail();
  StartDriver();

  Write(Doorbell(0), 2, 0);

  EXPECT_TRUE(device_->active->queues[0].kick->Signalled());
}

TEST_F(HostileTransportTest, KicksOfMissingQueuesAreIgnored) {
  StartDriver();
  for (uint32_t queue = 2; queue < 1024; queue += 511) {
    Write(Doorbell(queue), 4, 0xffffffff);
  }
  EXPECT_FALSE(device_->active->queues[0].kick->Signalled());
}

TEST_F(HostileTransportTest, KicksBeforeDriverOkAreIgnored) {
  Write(Doorbell(0), 2, 0);
  StartDriver();
  EXPECT_FALSE(device_->active->queues[0].kick->Signalled());
}

TEST_F(HostileTransportTest, DeviceConfigIsCutToItsSize) {
  // 12 bytes: an access of 8 at 8 has four of them.
  Write(bar_ + Transport::kDeviceOffset + 8, 8, ~uint64_t{0});
  EXPECT_EQ(Read(bar_ + Transport::kDeviceOffset + 8, 8), 0xffffffffu);
  EXPECT_EQ(Read(bar_ + Transport::kDeviceOffset + 12, 8), 0u);
  Write(bar_ + Transport::kDeviceOffset + 0xff8, 8, 1);
}

TEST_F(HostileTransportTest, BarOverRamIsNotReachable) {
  StartDriver();

  MoveBar(0x0);

  EXPECT_THAT(doorbells_.attached(), IsEmpty());
  EXPECT_EQ(Read(kWindow64, 4), 0xffffffffu);
}

TEST_F(HostileTransportTest, BarAcrossTheEndOfTheWindowIsNotReachable) {
  StartDriver();
  MoveBar(kWindow64 + kWindowSize);
  EXPECT_THAT(doorbells_.attached(), IsEmpty());
  MoveBar(0xffffffffffff8000);
  EXPECT_THAT(doorbells_.attached(), IsEmpty());
}

TEST_F(HostileTransportTest, BarMayMoveBelowFourGigabytes) {
  StartDriver();

  MoveBar(kWindow32 + 0x8000);

  EXPECT_EQ(Status(), 15);
  EXPECT_TRUE(doorbells_.Ring(Doorbell(0)));
}

TEST_F(HostileTransportTest, BarMovesManyTimesLeaveNothingBehind) {
  StartDriver();
  for (uint64_t i = 0; i < 1000; ++i) {
    MoveBar(kWindow64 + (i % 100) * 0x8000);
    ASSERT_EQ(doorbells_.attached().size(), 1u);
  }
}

// 4.1.4.9: the window works while memory decoding is off.
TEST_F(HostileTransportTest, ConfigWindowReachesTheBar) {
  Write(Config(0x04), 2, 0);
  AimWindow(0, Transport::kCommonOffset + 18, 2);
  EXPECT_EQ(Read(Window() + 16, 4), 2u);  // num_queues

  AimWindow(0, Transport::kCommonOffset + 20, 1);
  Write(Window() + 16, 4, kStatusAcknowledge);
  EXPECT_EQ(Read(Window() + 16, 1), kStatusAcknowledge);
}

TEST_F(HostileTransportTest, ConfigWindowRefusesUnsoundAccesses) {
  const struct {
    uint64_t bar, offset, length;
  } kCases[] = {{1, 0, 4},          {0, 0, 0},          {0, 0, 3},
                {0, 0, 8},          {0, 2, 4},          {0, 0x8000, 4},
                {0, 0xfffffffc, 4}, {0, 0, 0xffffffff}, {255, 0, 4}};
  for (const auto& c : kCases) {
    AimWindow(c.bar, c.offset, c.length);
    Write(Window() + 16, 4, 0xabcdef01);
    EXPECT_EQ(Read(Window() + 16, 4), 0xabcdef01u) << c.offset << c.length;
  }
}

TEST_F(HostileTransportTest, ConfigWindowCanResetTheDevice) {
  StartDriver();
  AimWindow(0, Transport::kCommonOffset + 20, 1);

  Write(Window() + 16, 1, 0);

  EXPECT_EQ(Status(), 0);
  EXPECT_FALSE(device_->active);
}

TEST_F(HostileTransportTest, EveryAddressOfTheBarIsSafe) {
  StartDriver();
  for (uint64_t at = 0; at + 8 <= Transport::kBarSize; at += 61) {
    for (const size_t width : {1u, 2u, 4u, 8u}) {
      Read(bar_ + at, width);
      Write(bar_ + at, width, 0xdeadbeefcafef00d);
    }
  }
  SetStatus(0);
  EXPECT_EQ(Status(), 0);
}

TEST_F(HostileTransportTest, TooManyQueuesAreRefusedAtBuildTime) {
  auto device = std::make_unique<fakes::FakeVirtioDevice>(
      std::vector<uint16_t>(Transport::kMaxQueues + 1, 16));
  EXPECT_FALSE(Transport::Create(std::move(device), memory_, *loop_).ok());
}

TEST_F(HostileTransportTest, RingingMsixOnAndOffLosesNothing) {
  StartDriver();
  EnableMsix();
  for (int i = 0; i < 100; ++i) {
    Write(MsixControl(), 2, 0xc000);  // function mask
    events().NotifyQueue(0);
    Write(MsixControl(), 2, 0x8000);
  }
  EXPECT_EQ(interrupts_.msi(0).delivered, 100);
}

}  // namespace
}  // namespace kvmlet::virtio
