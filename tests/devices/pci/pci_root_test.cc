// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/pci_root.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <utility>

#include "tests/fakes/fake_doorbells.h"
#include "tests/fakes/fake_interrupts.h"
#include "tests/fakes/fake_pci_device.h"

namespace kvmlet::pci {
namespace {

using fakes::FakePciDevice;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr uint64_t kEcam = 0xe0000000;
constexpr uint64_t kWindow32 = 0xc0000000;
constexpr uint64_t kWindow64 = 0x4000000000;
constexpr uint64_t kWindowSize = 0x1000000;

class PciRootTest : public ::testing::Test {
 protected:
  PciRootTest() {
    EXPECT_TRUE(root_->AddTo(bus_).ok());
    bus_.Seal();
  }
  FakePciDevice& Add(std::unique_ptr<FakePciDevice> device,
                     std::optional<PciAddress> at = std::nullopt) {
    FakePciDevice& kept = *device;
    const auto address = root_->Add(std::move(device), at);
    EXPECT_TRUE(address.ok()) << address.status();
    last_ = *address;
    return kept;
  }
  static uint64_t Ecam(PciAddress address, uint64_t offset) {
    return kEcam + (uint64_t{address.requester_id()} << 12) + offset;
  }
  uint64_t Read(uint64_t address, size_t width) {
    std::array<std::byte, 8> bytes{};
    bus_.Read(address, std::span(bytes).first(width));
    return LoadLe(bytes);
  }
  void Write(uint64_t address, size_t width, uint64_t value) {
    std::array<std::byte, 8> bytes{};
    StoreLe(value, bytes);
    bus_.Write(address, std::span(bytes).first(width));
  }
  uint64_t Config(uint64_t offset, size_t width) {
    return Read(Ecam(last_, offset), width);
  }
  void SetConfig(uint64_t offset, size_t width, uint64_t value) {
    Write(Ecam(last_, offset), width, value);
  }

  fakes::FakeInterrupts interrupts_;
  fakes::FakeDoorbells doorbells_;
  Bus bus_{"mmio"};
  std::unique_ptr<PciRoot> root_ = *PciRoot::Create(
      {*AddressRange::Make(kEcam, 0x10000000),
       *AddressRange::Make(kWindow32, kWindowSize),
       *AddressRange::Make(kWindow64, kWindowSize)},
      interrupts_, doorbells_,
      [](uint32_t slot, uint32_t pin) { return 16 + (slot + pin - 1) % 4; });
  PciAddress last_;
};

TEST_F(PciRootTest, HasAHostBridge) {
  EXPECT_EQ(Read(kEcam + 0x0a, 2), 0x0600u);
  EXPECT_NE(Read(kEcam, 4), 0xffffffffu);
}

TEST_F(PciRootTest, MissingFunctionsReadAsOnes) {
  EXPECT_EQ(Read(Ecam({5, 0}, 0), 4), 0xffffffffu);
  EXPECT_EQ(Read(Ecam({0, 1}, 0), 4), 0xffffffffu);
  EXPECT_EQ(Read(kEcam + (1 << 20), 4), 0xffffffffu);
  Write(Ecam({5, 0}, 4), 2, 0xffff);
}

TEST_F(PciRootTest, FunctionsTakeTheFirstFreeSlot) {
  Add(std::make_unique<FakePciDevice>(), PciAddress{1, 0});
  Add(std::make_unique<FakePciDevice>());
  EXPECT_EQ(last_, (PciAddress{2, 0}));
  EXPECT_EQ(Config(0, 4), 0x56781234u);
}

TEST_F(PciRootTest, ATakenAddressIsRefused) {
  Add(std::make_unique<FakePciDevice>(), PciAddress{3, 0});
  EXPECT_FALSE(
      root_->Add(std::make_unique<FakePciDevice>(), PciAddress{3, 0}).ok());
}

TEST_F(PciRootTest, ThirtyOneSlotsAndNoMore) {
  for (int i = 0; i < 31; ++i) Add(std::make_unique<FakePciDevice>());
  const auto address = root_->Add(std::make_unique<FakePciDevice>());
  EXPECT_EQ(address.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(PciRootTest, MultiFunctionBitIsShownByFunctionZeroOnly) {
  Add(std::make_unique<FakePciDevice>(), PciAddress{4, 0});
  EXPECT_EQ(Config(0x0e, 1), 0u);
  Add(std::make_unique<FakePciDevice>(), PciAddress{4, 2});
  EXPECT_EQ(Read(Ecam({4, 0}, 0x0e), 1), 0x80u);
  EXPECT_EQ(Read(Ecam({4, 0}, 0x0c), 4), 0x00800000u);
  EXPECT_EQ(Read(Ecam({4, 2}, 0x0e), 1), 0u);
}

TEST_F(PciRootTest, BarsAreAssignedAndDecodedLikeFirmwareLeavesThem) {
  FakePciDevice& device = Add(std::make_unique<FakePciDevice>(
      std::vector<BarSpec>{{.index = 0, .size = 0x2000},
                           {.index = 2,
                            .size = 0x4000,
                            .is_64bit = true,
                            .prefetchable = true}}));

  EXPECT_EQ(Config(0x04, 2), kCommandMemory);
  EXPECT_EQ(Config(0x10, 4), kWindow32);
  EXPECT_EQ(Config(0x18, 4), (kWindow64 & 0xffffffff) | 0xc);
  EXPECT_EQ(Config(0x1c, 4), kWindow64 >> 32);
  EXPECT_THAT(device.mapped,
              ElementsAre(Pair(0, kWindow32), Pair(2, kWindow64)));
  EXPECT_EQ(Read(kWindow64 + 0x123, 4), 0x20123u);
}

TEST_F(PciRootTest, SixtyFourBitBarsFallBackToTheLowWindow) {
  Add(std::make_unique<FakePciDevice>(std::vector<BarSpec>{
      {.index = 0, .size = kWindowSize, .is_64bit = true}}));
  FakePciDevice& second = Add(std::make_unique<FakePciDevice>(
      std::vector<BarSpec>{{.index = 0, .size = 0x1000, .is_64bit = true}}));
  EXPECT_THAT(second.mapped, ElementsAre(Pair(0, kWindow32)));
}

TEST_F(PciRootTest, ABarLargerThanTheWindowIsAnError) {
  const auto address = root_->Add(std::make_unique<FakePciDevice>(
      std::vector<BarSpec>{{.index = 0, .size = kWindowSize * 2}}));
  EXPECT_FALSE(address.ok());
}

// 6.2.5.1: all ones written, the size read back.
TEST_F(PciRootTest, BarSizing) {
  Add(std::make_unique<FakePciDevice>(std::vector<BarSpec>{
      {.index = 0, .size = 0x2000},
      {.index = 2, .size = 0x4000, .is_64bit = true, .prefetchable = true}}));
  for (const uint64_t at : {0x10u, 0x14u, 0x18u, 0x1cu}) {
    SetConfig(at, 4, 0xffffffff);
  }
  EXPECT_EQ(Config(0x10, 4), 0xffffe000u);
  EXPECT_EQ(Config(0x14, 4), 0u);
  EXPECT_EQ(Config(0x18, 4), 0xffffc00cu);
  EXPECT_EQ(Config(0x1c, 4), 0xffffffffu);
}

TEST_F(PciRootTest, TheGuestMayMoveABar) {
  FakePciDevice& device = Add(std::make_unique<FakePciDevice>());
  SetConfig(0x10, 4, kWindow32 + 0x5000);
  EXPECT_THAT(device.mapped, ElementsAre(Pair(0, kWindow32 + 0x5000)));
  EXPECT_EQ(Read(kWindow32, 4), 0xffffffffu);
  EXPECT_EQ(Read(kWindow32 + 0x5008, 4), 8u);
}

TEST_F(PciRootTest, AHalfWrittenAddressIsHarmless) {
  FakePciDevice& device = Add(std::make_unique<FakePciDevice>(
      std::vector<BarSpec>{{.index = 0, .size = 0x1000, .is_64bit = true}}));
  SetConfig(0x14, 4, 0);
  EXPECT_THAT(device.mapped, IsEmpty());
  SetConfig(0x10, 4, kWindow32 + 0x7000);
  EXPECT_THAT(device.mapped, ElementsAre(Pair(0, kWindow32 + 0x7000)));
}

TEST_F(PciRootTest, BytewiseBarWritesWork) {
  FakePciDevice& device = Add(std::make_unique<FakePciDevice>());
  SetConfig(0x11, 1, 0x50);
  EXPECT_THAT(device.mapped, ElementsAre(Pair(0, kWindow32 + 0x5000)));
}

TEST_F(PciRootTest, MemoryEnableGatesTheBars) {
  FakePciDevice& device = Add(std::make_unique<FakePciDevice>());
  SetConfig(0x04, 2, 0);
  EXPECT_THAT(device.mapped, IsEmpty());
  EXPECT_EQ(Read(kWindow32, 4), 0xffffffffu);
  SetConfig(0x04, 2, kCommandMemory);
  EXPECT_EQ(Read(kWindow32 + 4, 4), 4u);
}

TEST_F(PciRootTest, FunctionsShareAnInterruptLine) {
  FakePciDevice& a = Add(std::make_unique<FakePciDevice>(), PciAddress{1, 0});
  EXPECT_EQ(Config(0x3c, 1), 17u);
  FakePciDevice& b = Add(std::make_unique<FakePciDevice>(), PciAddress{5, 0});
  EXPECT_EQ(Config(0x3c, 1), 17u);
  ASSERT_EQ(interrupts_.line_count(), 1u);

  a.SetIntx(true);
  b.SetIntx(true);
  a.SetIntx(false);

  EXPECT_TRUE(interrupts_.line(0).asserted);
  EXPECT_EQ(Config(0x06, 2) & kStatusInterrupt, kStatusInterrupt);
}

TEST_F(PciRootTest, MsixInABar) {
  FakePciDevice& device = Add(std::make_unique<FakePciDevice>(
      std::vector<BarSpec>{{.index = 0, .size = 0x1000}}, /*vectors=*/3));
  const uint64_t capability = Config(0x34, 1);
  EXPECT_EQ(Config(capability + 2, 2), 2u);
  // Message control by a write of the whole first word.
  SetConfig(capability, 4, 0x80000000);
  Write(kWindow32 + 16, 8, 0xfee00000);
  Write(kWindow32 + 24, 8, 0x55);

  device.msix()->Trigger(1);

  EXPECT_EQ(interrupts_.msi(1).delivered, 1);
  EXPECT_EQ(interrupts_.msi(1).committed.device_id, 8u);
  EXPECT_EQ(Read(kWindow32 + 0x800, 8), 0u);
  EXPECT_EQ(Read(kWindow32 + 0x900, 4), 0x900u);
}

TEST_F(PciRootTest, MsixGatesThePin) {
  FakePciDevice& device = Add(std::make_unique<FakePciDevice>(
      std::vector<BarSpec>{{.index = 0, .size = 0x1000}}, /*vectors=*/1));
  device.SetIntx(true);
  SetConfig(Config(0x34, 1) + 2, 2, 0x8000);
  EXPECT_FALSE(interrupts_.line(0).asserted);
}

TEST_F(PciRootTest, ResetRestoresBarsAndCommand) {
  FakePciDevice& device = Add(std::make_unique<FakePciDevice>());
  SetConfig(0x10, 4, kWindow32 + 0x5000);
  SetConfig(0x04, 2, 0x6);
  device.SetIntx(true);

  root_->Reset();

  EXPECT_EQ(Config(0x04, 2), kCommandMemory);
  EXPECT_THAT(device.mapped, ElementsAre(Pair(0, kWindow32)));
  EXPECT_FALSE(interrupts_.line(0).asserted);
}

TEST_F(PciRootTest, ResetUntanglesSwappedBars) {
  FakePciDevice& a = Add(std::make_unique<FakePciDevice>());
  SetConfig(0x10, 4, kWindow32 + 0x1000);
  FakePciDevice& b = Add(std::make_unique<FakePciDevice>());
  SetConfig(0x10, 4, kWindow32);

  root_->Reset();

  EXPECT_THAT(a.mapped, ElementsAre(Pair(0, kWindow32)));
  EXPECT_THAT(b.mapped, ElementsAre(Pair(0, kWindow32 + 0x1000)));
}

TEST_F(PciRootTest, AccessesAcrossFunctionsAreSafe) {
  Add(std::make_unique<FakePciDevice>());
  EXPECT_EQ(Read(Ecam(last_, 0xffe), 4), 0xffffffffu);
  EXPECT_EQ(Config(0x100, 4), 0u);
  for (uint64_t at = 0; at < 0x1000; at += 3) {
    SetConfig(at, 8, 0xa5a5a5a5a5a5a5a5);
    Config(at, 8);
  }
  EXPECT_EQ(Config(0, 4), 0x56781234u);
}

TEST_F(PciRootTest, ARemovedFunctionLeavesItsPlaceFree) {
  for (int round = 0; round < 100; ++round) {
    const auto at = root_->AddRemovable(
        std::make_unique<FakePciDevice>(std::vector<BarSpec>{
            {.index = 0, .size = kWindowSize / 2},
            {.index = 2, .size = kWindowSize / 2, .is_64bit = true}}),
        1u << 9);
    ASSERT_TRUE(at.ok()) << at.status();
    EXPECT_EQ(*at, (PciAddress{9, 0}));
    EXPECT_EQ(Read(kWindow64 + 4, 4), 0x20004u);
    {
      const auto device = root_->Remove(*at);
      ASSERT_NE(device, nullptr);
      EXPECT_THAT(static_cast<FakePciDevice&>(*device).mapped, IsEmpty());
    }
    EXPECT_EQ(root_->Find(*at), nullptr);
    EXPECT_EQ(Read(Ecam(*at, 0), 4), 0xffffffffu);
    EXPECT_EQ(Read(kWindow32, 4), 0xffffffffu);
    EXPECT_EQ(Read(kWindow64 + 4, 4), 0xffffffffu);
  }
  EXPECT_EQ(interrupts_.line_count(), 1u);
}

TEST_F(PciRootTest, ARemovedFunctionLowersItsPin) {
  auto function = std::make_unique<FakePciDevice>();
  FakePciDevice& device = *function;
  const auto at = root_->AddRemovable(std::move(function));
  ASSERT_TRUE(at.ok());
  device.SetIntx(true);
  ASSERT_TRUE(interrupts_.line(0).asserted);
  root_->Remove(*at);
  EXPECT_FALSE(interrupts_.line(0).asserted);
}

TEST_F(PciRootTest, AFunctionThatFindsNoRoomTakesNone) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(
        root_
            ->AddRemovable(std::make_unique<FakePciDevice>(
                std::vector<BarSpec>{{.index = 0, .size = kWindowSize},
                                     {.index = 1, .size = kWindowSize}}))
            .ok());
  }
  EXPECT_TRUE(root_
                  ->AddRemovable(std::make_unique<FakePciDevice>(
                      std::vector<BarSpec>{{.index = 0, .size = kWindowSize}}))
                  .ok());
}

TEST_F(PciRootTest, HotplugSlotsAreTheRemovableAndTheFirstFreeOnes) {
  Add(std::make_unique<FakePciDevice>(), PciAddress{1, 0});
  Add(std::make_unique<FakePciDevice>(), PciAddress{2, 3});
  ASSERT_TRUE(
      root_->AddRemovable(std::make_unique<FakePciDevice>(), 1u << 20).ok());
  EXPECT_EQ(root_->HotplugSlots(0), 1u << 20);
  EXPECT_EQ(root_->HotplugSlots(2), 1u << 20 | 1u << 3 | 1u << 4);
  EXPECT_FALSE(
      root_->AddRemovable(std::make_unique<FakePciDevice>(), 1u << 20 | 1u << 2)
          .ok());
}

}  // namespace
}  // namespace kvmlet::pci
