// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "tests/devices/virtio/transport_fixture.h"

namespace kvmlet::virtio {
namespace {

using TransportTest = TransportFixture;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(TransportTest, HasTheIdentityOfAModernDevice) {
  EXPECT_EQ(Read(Config(0x00), 2), 0x1af4u);
  EXPECT_EQ(Read(Config(0x02), 2), 0x1044u);
  EXPECT_EQ(Read(Config(0x08), 1), 1u);
  EXPECT_GE(Read(Config(0x2e), 2), 0x40u);
  EXPECT_EQ(Read(Config(0x3d), 1), 1u);
}

// 4.1.4: every structure is found through a capability.
TEST_F(TransportTest, CapabilitiesPointIntoTheBar) {
  std::map<uint64_t, uint64_t> found;
  uint64_t at = Read(Config(0x34), 1);
  while (at != 0) {
    if (Read(Config(at), 1) == 0x09) {
      const uint64_t offset = Read(Config(at + 8), 4);
      const uint64_t length = Read(Config(at + 12), 4);
      EXPECT_LE(offset + length, uint64_t{Transport::kBarSize});
      found[Read(Config(at + 3), 1)] = offset;
    }
    at = Read(Config(at + 1), 1);
  }

  EXPECT_EQ(found[kPciCapCommon], Transport::kCommonOffset);
  EXPECT_EQ(found[kPciCapNotify], Transport::kNotifyOffset);
  EXPECT_EQ(found[kPciCapIsr], Transport::kIsrOffset);
  EXPECT_EQ(found[kPciCapDevice], Transport::kDeviceOffset);
  EXPECT_TRUE(found.contains(kPciCapAccess));
}

TEST_F(TransportTest, OffersTheTransportsFeatures) {
  NegotiateAll();

  EXPECT_EQ(Status(), 11);
  SetStatus(15);
  ASSERT_TRUE(device_->active);
  EXPECT_EQ(device_->active->features, kFeatureVersion1 | kFeatureEventIdx |
                                           kFeatureIndirectDesc |
                                           fakes::FakeVirtioDevice::kFeature);
}

TEST_F(TransportTest, DriverOkHandsOverTheEnabledQueues) {
  StartDriver();

  ASSERT_TRUE(device_->active);
  ASSERT_THAT(device_->active->queues, SizeIs(2));
  EXPECT_TRUE(device_->active->queues[0].queue);
  EXPECT_EQ(device_->active->queues[0].queue->size(), 16);
  EXPECT_FALSE(device_->active->queues[1].queue);
}

TEST_F(TransportTest, ADoorbellIsAttachedForEachEnabledQueue) {
  StartDriver();

  EXPECT_THAT(doorbells_.attached(), SizeIs(1));
  EXPECT_TRUE(doorbells_.Ring(Doorbell(0)));
  EXPECT_TRUE(device_->active->queues[0].kick->Signalled());
}

// A write that leaves the guest all the same rings too, at any width.
TEST_F(TransportTest, NotifyBySlowPathKicks) {
  StartDriver();
  const EventFd* kick = device_->active->queues[0].kick;
  for (const size_t width : {1u, 2u, 4u, 8u}) {
    Write(Doorbell(0), width, 0);
    EXPECT_TRUE(kick->Consume()) << width;
  }
}

TEST_F(TransportTest, ResetStopsTheDeviceAndReadsBackZero) {
  StartDriver();
  Write(Doorbell(0), 2, 0);

  SetStatus(0);

  EXPECT_EQ(Status(), 0);
  EXPECT_FALSE(device_->active);
  EXPECT_THAT(doorbells_.attached(), IsEmpty());
}

TEST_F(TransportTest, StaleKicksDoNotSurviveAReset) {
  StartDriver();
  Write(Doorbell(0), 2, 0);
  SetStatus(0);

  StartDriver();

  EXPECT_FALSE(device_->active->queues[0].kick->Signalled());
}

TEST_F(TransportTest, DoorbellsFollowTheBar) {
  StartDriver();
  const uint64_t old = Doorbell(0);

  MoveBar(kWindow64 + 0x100000);

  EXPECT_FALSE(doorbells_.Ring(old));
  EXPECT_TRUE(doorbells_.Ring(Doorbell(0)));
  EXPECT_EQ(Status(), 15);
}

TEST_F(TransportTest, NoDoorbellWhileMemoryDecodingIsOff) {
  StartDriver();

  Write(Config(0x04), 2, 0);
  EXPECT_THAT(doorbells_.attached(), IsEmpty());
  Write(Config(0x04), 2, 2);
  EXPECT_THAT(doorbells_.attached(), SizeIs(1));
}

// 4.1.5.4: "If MSI-X capability is disabled: set the lower bit of the ISR
// status register and send the appropriate PCI interrupt".
TEST_F(TransportTest, WithoutMsixAQueueRaisesThePinUntilIsrIsRead) {
  StartDriver();

  events().NotifyQueue(0);
  EXPECT_TRUE(interrupts_.line(0).asserted);
  EXPECT_EQ(Read(Config(0x06), 2) & 8u, 8u);
  EXPECT_EQ(Read(bar_ + Transport::kIsrOffset, 1), kIsrQueue);
  EXPECT_FALSE(interrupts_.line(0).asserted);
  EXPECT_EQ(Read(bar_ + Transport::kIsrOffset, 1), 0u);
}

TEST_F(TransportTest, InterruptDisableBitGatesThePin) {
  StartDriver();
  Write(Config(0x04), 2, 0x402);
  events().NotifyQueue(0);
  EXPECT_FALSE(interrupts_.line(0).asserted);

  Write(Config(0x04), 2, 0x002);

  EXPECT_TRUE(interrupts_.line(0).asserted);
}

TEST_F(TransportTest, WithMsixAQueueSendsItsMessage) {
  StartDriver();
  EnableMsix();

  events().NotifyQueue(0);

  EXPECT_EQ(interrupts_.msi(0).delivered, 1);
  EXPECT_EQ(interrupts_.msi(0).committed.data, 0x40u);
  EXPECT_EQ(interrupts_.msi(0).committed.device_id, address_.requester_id());
  EXPECT_FALSE(interrupts_.line(0).asserted);
  EXPECT_EQ(Read(bar_ + Transport::kIsrOffset, 1), 0u);
}

TEST_F(TransportTest, ConfigChangeBumpsTheGenerationAndInterrupts) {
  StartDriver();
  EnableMsix();
  const uint64_t before = Read(Common(21), 1);

  events().NotifyConfig();

  EXPECT_EQ(Read(Common(21), 1), before + 1);
  EXPECT_EQ(interrupts_.msi(2).delivered, 1);
}

TEST_F(TransportTest, ConfigChangeWithoutMsixSetsTheSecondIsrBit) {
  StartDriver();
  events().NotifyConfig();
  EXPECT_EQ(Read(bar_ + Transport::kIsrOffset, 1), kIsrConfig);
}

// 3.1.1: no notification before DRIVER_OK.
TEST_F(TransportTest, NothingIsSentBeforeDriverOk) {
  StartDriver();
  DeviceEvents& events = *device_->active->events;
  SetStatus(0);

  events.NotifyQueue(0);
  events.NotifyConfig();
  events.SetNeedsReset("late");

  EXPECT_FALSE(interrupts_.line(0).asserted);
}

TEST_F(TransportTest, AQueueWithoutVectorSendsNothing) {
  StartDriver();
  EnableMsix();
  Write(Common(22), 2, 0);
  Write(Common(26), 2, kNoVector);

  events().NotifyQueue(0);

  EXPECT_EQ(interrupts_.msi(0).delivered, 0);
}

TEST_F(TransportTest, CallFdIsTheVectorsWithMsix) {
  StartDriver();
  EnableMsix();
  const int fd = events().QueueCallFd(0);
  const uint64_t one = 1;

  ASSERT_EQ(::write(fd, &one, sizeof(one)), 8);
  interrupts_.msi(0).masked = false;
  events().NotifyQueue(0);

  EXPECT_EQ(interrupts_.msi(0).delivered, 1);
}

TEST_F(TransportTest, CallFdIsForwardedToThePinWithoutMsix) {
  StartDriver();
  const uint64_t one = 1;
  ASSERT_EQ(::write(events().QueueCallFd(0), &one, sizeof(one)), 8);

  loop_->RunAfter(std::chrono::milliseconds(20), [this] { loop_->Stop(); });
  loop_->Run();

  EXPECT_TRUE(interrupts_.line(0).asserted);
  EXPECT_EQ(Read(bar_ + Transport::kIsrOffset, 1), kIsrQueue);
}

TEST_F(TransportTest, NeedsResetIsShownAndTold) {
  StartDriver();

  events().SetNeedsReset("the driver broke the ring");

  EXPECT_EQ(Status(), 15 | kStatusNeedsReset);
  EXPECT_EQ(Read(bar_ + Transport::kIsrOffset, 1), kIsrConfig);
}

TEST_F(TransportTest, DeviceConfigIsReadAndWritten) {
  Write(bar_ + Transport::kDeviceOffset + 4, 4, 0x11223344);
  EXPECT_EQ(Read(bar_ + Transport::kDeviceOffset + 5, 2), 0x2233u);
}

TEST_F(TransportTest, MachineResetBringsBackThePowerOnState) {
  const uint64_t build_time = bar_;
  StartDriver();
  EnableMsix();
  MoveBar(kWindow64 + 0x200000);
  Write(Config(0x3c), 1, 0x77);

  root_->Reset();

  bar_ = build_time;
  EXPECT_EQ(BarAddress(), build_time);
  EXPECT_EQ(Read(Config(0x04), 2), 2u);
  EXPECT_EQ(Status(), 0);
  EXPECT_EQ(Read(MsixControl(), 2), 2u);
  EXPECT_EQ(Read(bar_ + Transport::kMsixTableOffset + 12, 4), 1u);
  EXPECT_FALSE(device_->active);
  EXPECT_THAT(doorbells_.attached(), IsEmpty());
}

// An I/O thread that reports while the device is being reset must get through:
// the transport waits for it with its own lock held.
TEST_F(TransportTest, EventsDoNotWaitForAResetInProgress) {
  StartDriver();
  DeviceEvents* events = device_->active->events;
  device_->on_reset = [events] {
    std::thread io([events] {
      events->NotifyQueue(0);
      events->NotifyConfig();
      events->SetNeedsReset("at the last moment");
      events->QueueCallFd(0);
    });
    io.join();
  };

  SetStatus(0);

  EXPECT_EQ(Status(), 0);
  EXPECT_FALSE(interrupts_.line(0).asserted);
}

}  // namespace
}  // namespace kvmlet::virtio
