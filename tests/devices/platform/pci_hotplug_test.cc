// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/pci_hotplug.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/devices/platform/access.h"
#include "tests/fakes/fake_guest_requests.h"

namespace kvmlet {
namespace {

using fakes::GuestRequest;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PciHotplugTest : public testing::Test {
 protected:
  PciHotplugTest() { hotplug_.SetSlots(0x30); }
  fakes::FakeGuestRequests requests_;
  PciHotplug hotplug_{requests_};
};

TEST_F(PciHotplugTest, ReadingTakesWhatHappened) {
  hotplug_.Plug(4);
  hotplug_.Plug(5);
  hotplug_.Ask(5);
  EXPECT_EQ(ReadFrom(hotplug_, PciHotplug::kPlugged, 4), 0x30u);
  EXPECT_EQ(ReadFrom(hotplug_, PciHotplug::kPlugged, 4), 0u);
  EXPECT_EQ(ReadFrom(hotplug_, PciHotplug::kAsked, 4), 0x20u);
  EXPECT_EQ(ReadFrom(hotplug_, PciHotplug::kAsked, 4), 0u);
}

TEST_F(PciHotplugTest, APartOfARegisterTakesNothing) {
  hotplug_.Plug(4);
  EXPECT_EQ(ReadFrom(hotplug_, PciHotplug::kPlugged, 1), 0u);
  EXPECT_EQ(ReadFrom(hotplug_, PciHotplug::kPlugged, 8), 0u);
  EXPECT_EQ(ReadFrom(hotplug_, 2, 4), 0u);
  EXPECT_EQ(ReadFrom(hotplug_, PciHotplug::kPlugged, 4), 0x10u);
}

TEST_F(PciHotplugTest, OnlySlotsThatTheGuestWasToldOfAreGivenUp) {
  WriteTo(hotplug_, PciHotplug::kEject, 4, 0xffffffff);
  WriteTo(hotplug_, PciHotplug::kEject, 4, 0xffffffcf);
  EXPECT_THAT(
      requests_.all(),
      ElementsAre(GuestRequest{.kind = GuestRequest::kEject, .code = 0x30}));
}

TEST_F(PciHotplugTest, OtherWritesDoNothing) {
  hotplug_.Plug(4);
  WriteTo(hotplug_, PciHotplug::kPlugged, 4, 0xffffffff);
  WriteTo(hotplug_, PciHotplug::kAsked, 4, 0xffffffff);
  WriteTo(hotplug_, PciHotplug::kEject, 1, 0xff);
  WriteTo(hotplug_, PciHotplug::kEject, 8, 0xff);
  EXPECT_THAT(requests_.all(), IsEmpty());
  EXPECT_EQ(ReadFrom(hotplug_, PciHotplug::kPlugged, 4), 0x10u);
}

TEST_F(PciHotplugTest, ResetForgetsWhatHappened) {
  hotplug_.Plug(4);
  hotplug_.Ask(4);
  hotplug_.Reset();
  EXPECT_EQ(ReadFrom(hotplug_, PciHotplug::kPlugged, 4), 0u);
  EXPECT_EQ(ReadFrom(hotplug_, PciHotplug::kAsked, 4), 0u);
}

}  // namespace
}  // namespace kvmlet
