// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/vfio_pci.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "devices/pci/spec.h"
#include "tests/devices/vfio/vfio_fixture.h"

namespace kvmlet::vfio {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST_F(VfioFixture, BarsAreReachedDirectlyExceptTheTable) {
  // BAR 0: all of its 16 KiB; BAR 3: without the pages of table and pending
  // bits.
  EXPECT_THAT(mapper_.Mapped(),
              ElementsAre(Pair(Bar(3) + 0x1000, 0x1000),
                          Pair(Bar(3) + 0x3000, 0x1000), Pair(Bar(0), 0x4000)));
}

TEST_F(VfioFixture, BarsLeaveTheGuestBeforeTheDeviceStopsToDecode) {
  bool mapped_while_off = false;
  device_.on_config_write = [&](uint64_t at, std::span<const std::byte>) {
    if (at == pci::kCommand) mapped_while_off = !mapper_.Mapped().empty();
  };
  WriteConfig(pci::kCommand, 0, 2);
  EXPECT_FALSE(mapped_while_off);
  EXPECT_TRUE(mapper_.Mapped().empty());
  EXPECT_EQ(ReadMmio(Bar(0), 4), 0xffffffffu);
  WriteConfig(pci::kCommand, pci::kCommandMemory, 2);
  EXPECT_EQ(mapper_.Mapped().size(), 3u);
}

TEST_F(VfioFixture, SleepingDeviceIsOutOfReach) {
  WriteConfig(0x44, 3, 2);
  EXPECT_TRUE(mapper_.Mapped().empty());
  EXPECT_EQ(ReadMmio(Bar(0), 4), 0xffffffffu);
  WriteConfig(0x44, 0, 2);
  EXPECT_EQ(mapper_.Mapped().size(), 3u);
}

TEST_F(VfioFixture, DeviceThatStaysAwakeStaysInReach) {
  device_.on_config_write = [&](uint64_t at, std::span<const std::byte> data) {
    // A physical function in use refuses to sleep.
    if (at == 0x44) const_cast<std::byte*>(data.data())[0] = std::byte{0};
  };
  WriteConfig(0x44, 3, 2);
  EXPECT_EQ(mapper_.Mapped().size(), 3u);
}

TEST_F(VfioFixture, MovedBarMoves) {
  const uint64_t to = kWindow64 + 0x100000;
  WriteConfig(0x10, to & 0xffffffff, 4);
  WriteConfig(0x14, to >> 32, 4);
  EXPECT_EQ(mapper_.Mapped().count(to), 1u);
  EXPECT_EQ(mapper_.Mapped().size(), 3u);
  device_.bars[0][8] = std::byte{0x5a};
  EXPECT_EQ(ReadMmio(to + 8, 1), 0x5au);
}

TEST_F(VfioFixture, BarOverNothingOfOursIsNowhere) {
  for (const uint64_t wild : {uint64_t{0}, uint64_t{0x1000}, ~uint64_t{0}}) {
    WriteConfig(0x10, wild & 0xffffffff, 4);
    WriteConfig(0x14, wild >> 32, 4);
    EXPECT_EQ(mapper_.Mapped().size(), 2u) << "BAR 3 is all there is";
  }
}

TEST_F(VfioFixture, TrappedAccessesReachTheDevice) {
  WriteMmio(Bar(0) + 0x10, 0x11223344, 4);
  EXPECT_EQ(device_.bars[0][0x10], std::byte{0x44});
  EXPECT_EQ(ReadMmio(Bar(0) + 0x10, 4), 0x11223344u);
}

TEST_F(VfioFixture, TableIsTheMonitors) {
  WriteMmio(Bar(3), 0xfee01000, 4);
  EXPECT_EQ(ReadMmio(Bar(3), 4), 0xfee01000u);
  EXPECT_EQ(device_.bars[3][1], std::byte{0}) << "the device saw the write";
  EXPECT_EQ(ReadMmio(Bar(3) + 0x2000, 8), 0u);
}

TEST_F(VfioFixture, VectorsAreMadeWhenTheyAreUsed) {
  EXPECT_EQ(interrupts_.msi_count(), 0u);
  EnableMsix();
  EXPECT_EQ(interrupts_.msi_count(), 0u);
  EXPECT_THAT(device_.irqs.at(2), ElementsAre(-1));
  UnmaskVector(1);
  ASSERT_EQ(device_.irqs.at(2).size(), 2u);
  EXPECT_GE(device_.irqs.at(2)[1], 0);
  EXPECT_EQ(interrupts_.msi_count(), 1u);
  EXPECT_EQ(interrupts_.msi(0).committed.data, 0x41u);
  EXPECT_EQ(interrupts_.msi(0).committed.device_id,
            uint32_t{address_.device} << 3);
}

TEST_F(VfioFixture, MessagesReplaceThePinAndGiveItBack) {
  EXPECT_EQ(device_.irqs.count(0), 1u);
  EXPECT_GE(device_.unmask_fd, 0);
  EnableMsix();
  EXPECT_EQ(device_.irqs.count(0), 0u);
  EXPECT_EQ(device_.irqs.count(2), 1u);
  WriteConfig(0x72, 0, 2);
  EXPECT_EQ(device_.irqs.count(2), 0u);
  EXPECT_EQ(device_.irqs.count(0), 1u);
}

TEST_F(VfioFixture, MsiHasAVectorForEachThatTheGuestEnables) {
  WriteConfig(0x54, 0xfee01000, 4);
  WriteConfig(0x5c, 0x40, 2);
  WriteConfig(0x52, 0x0021, 2);  // enabled, four vectors asked for: two given
  ASSERT_EQ(device_.irqs.count(1), 1u);
  EXPECT_EQ(interrupts_.msi_count(), 4u);
  EXPECT_EQ(interrupts_.msi(3).committed.data, 0x43u);
  WriteConfig(0x60, 0x2, 4);  // masks vector 1
  EXPECT_TRUE(interrupts_.msi(1).masked);
  EXPECT_FALSE(interrupts_.msi(0).masked);
  ASSERT_EQ(::eventfd_write(device_.irqs.at(1).at(1), 1), 0);
  EXPECT_EQ(ReadConfig(0x64, 4), 0x2u);
  WriteConfig(0x60, 0, 4);
  EXPECT_EQ(interrupts_.msi(1).delivered, 1);
  WriteConfig(0x52, 0, 2);
  EXPECT_EQ(device_.irqs.count(1), 0u);
  EXPECT_EQ(interrupts_.live_msi_count(), 0u);
}

TEST_F(VfioFixture, MsixWinsOverMsi) {
  WriteConfig(0x52, 0x0001, 2);
  EnableMsix();
  EXPECT_EQ(device_.irqs.count(1), 0u);
  EXPECT_EQ(device_.irqs.count(2), 1u);
}

TEST_F(VfioFixture, MaskedVectorIsPendingUntilUnmasked) {
  EnableMsix();
  UnmaskVector(0);
  WriteMmio(Bar(3) + 12, 1, 4);
  ASSERT_EQ(::eventfd_write(device_.irqs.at(2).at(0), 1), 0);
  EXPECT_EQ(ReadMmio(Bar(3) + 0x2000, 8), 1u);
  const int requests = device_.irq_requests;
  WriteMmio(Bar(3) + 12, 0, 4);
  EXPECT_EQ(interrupts_.msi(0).delivered, 1);
  EXPECT_EQ(device_.irq_requests, requests) << "the device was asked again";
}

TEST_F(VfioFixture, EnableAndDisableLeavesNothing) {
  EnableMsix();
  UnmaskVector(0);
  for (int i = 0; i < 1000; ++i) {
    WriteConfig(0x72, 0, 2);
    EnableMsix();
  }
  EXPECT_EQ(interrupts_.live_msi_count(), 1u);
  EXPECT_GE(device_.irqs.at(2).at(0), 0) << "the last enable is connected";
  EXPECT_EQ(interrupts_.level_irqfds(), 1);
}

TEST_F(VfioFixture, ResetOfTheMachineResetsTheDevice) {
  const int resets = device_.resets;
  const uint64_t bar = Bar(0);
  EnableMsix();
  UnmaskVector(0);
  WriteConfig(pci::kCommand, pci::kCommandMemory | pci::kCommandBusMaster, 2);
  WriteConfig(0x10, 0x00200000, 4);
  root_->Reset();
  EXPECT_EQ(device_.resets, resets + 1);
  EXPECT_EQ(Bar(0), bar);
  EXPECT_EQ(device_.GetConfig(pci::kCommand, 2), pci::kCommandMemory);
  EXPECT_EQ(device_.irqs.count(2), 0u);
  EXPECT_EQ(ReadConfig(0x72, 2), 0x0002u);
  EXPECT_EQ(mapper_.Mapped().size(), 3u);
}

TEST_F(VfioFixture, DetachedDeviceIsOnesAndHoldsNothing) {
  EnableMsix();
  function_->Detach();
  EXPECT_TRUE(mapper_.Mapped().empty());
  EXPECT_TRUE(device_.irqs.empty());
  EXPECT_EQ(kernel_.files(), 0);
  EXPECT_EQ(ReadConfig(0, 4), 0xffffffffu);
  EXPECT_EQ(ReadMmio(Bar0_, 4), 0xffffffffu);
  WriteConfig(pci::kCommand, 0, 2);
  WriteMmio(Bar0_, 1, 4);
  root_->Reset();
  function_->Detach();
}

TEST_F(VfioFixture, DeviceThatIsGoneReadsAsOnes) {
  device_.gone = true;
  EXPECT_EQ(ReadConfig(0, 4), 0xffffffffu);
  EXPECT_EQ(ReadMmio(Bar0_, 4), 0xffffffffu);
  WriteConfig(pci::kCommand, pci::kCommandMemory, 2);
}

TEST_F(VfioFixture, FaultingBarsAreTrappedUntilTheyAreSetUpAnew) {
  EXPECT_TRUE(function_->TrapBars());
  EXPECT_TRUE(mapper_.Mapped().empty());
  EXPECT_FALSE(function_->TrapBars()) << "nothing was left to take away";
  EXPECT_EQ(ReadMmio(Bar0_ + 0x100, 4), 0u);
  WriteConfig(pci::kCommand, pci::kCommandMemory, 2);
  EXPECT_EQ(mapper_.Mapped().size(), 3u);
}

// Every width, unaligned and across registers, and over the function's end; a
// quarter of them where most of the state is.
TEST_F(VfioFixture, AMillionWildConfigurationWritesEndInOrder) {
  uint32_t seed = 12345;
  const auto next = [&seed] {
    return (seed = seed * 1664525 + 1013904223) >> 8;
  };
  for (int i = 0; i < 1000000; ++i) {
    const uint32_t range = next() % 4 == 0 ? 256 : 4096;
    const auto offset = static_cast<uint16_t>(next() % range);
    WriteConfig(offset, uint64_t{next()} << 8 | next(), 1u << (next() % 3));
    // Nothing of it piles up, and nothing is reached outside the windows.
    if (i % 1000 != 0) continue;
    ASSERT_LE(mapper_.Mapped().size(), 3u);
    ASSERT_LE(interrupts_.live_msi_count(), 7u);
    for (const auto& [at, size] : mapper_.Mapped()) {
      const uint64_t window = at < kWindow64 ? kWindow32 : kWindow64;
      ASSERT_TRUE(at >= window && at + size <= window + kWindowSize) << at;
    }
  }
  root_->Reset();
  EXPECT_EQ(mapper_.Mapped().size(), 3u);
  EnableMsix();
  UnmaskVector(2);
  EXPECT_GE(device_.irqs.at(2).at(2), 0);
}

// Files, slots, interrupts and DMA maps are back where they began after every
// round, and the first round's device does what the last one's does.
TEST_F(VfioFixture, DevicesThatComeAndGoLeaveNothing) {
  fakes::FakeDevice& other = kernel_.AddNetwork("0000:02:00.0", 9);
  ASSERT_TRUE(space_->Map(0, 0x10000, this).ok());
  const auto files = [] {
    return std::ranges::distance(
        std::filesystem::directory_iterator("/proc/self/fd"));
  };
  // The last device of all leaves too: the kernel forgets its maps with it.
  for (const bool alone : {false, true}) {
    if (alone) function_->Detach();
    const size_t slots = mapper_.Mapped().size();
    const size_t maps = kernel_.mapped();
    const int lines = interrupts_.level_irqfds();
    const auto open = files();
    EXPECT_EQ(maps, alone ? 0u : 1u);
    for (int round = 0; round < 100; ++round) {
      auto function = Create(other);
      ASSERT_TRUE(function.ok()) << function.status();
      address_ = *root_->AddRemovable(*std::move(function));
      EXPECT_EQ(kernel_.mapped(), 1u);
      EnableMsix();
      UnmaskVector(1);
      EXPECT_GE(other.irqs.at(2).at(1), 0);
      ASSERT_EQ(mapper_.Mapped().size(), slots + 3);
      root_->Remove(address_);
      ASSERT_EQ(mapper_.Mapped().size(), slots);
      ASSERT_EQ(interrupts_.live_msi_count(), 0u);
      ASSERT_EQ(interrupts_.level_irqfds(), lines);
      ASSERT_EQ(kernel_.mapped(), maps);
      ASSERT_TRUE(other.irqs.empty());
      // The container's own file is there from its first device on.
      ASSERT_EQ(files(), open);
    }
  }
}

using VfioCreateTest = VfioFixture;

TEST_F(VfioCreateTest, DeviceThatDoesNotAnswerIsRefused) {
  fakes::FakeDevice& dead = kernel_.AddNetwork("0000:03:00.0", 9);
  dead.SetConfig(0, 0xffffffff, 4);
  const auto function = Create(dead);
  EXPECT_THAT(std::string(function.status().message()),
              ::testing::HasSubstr("does not answer"));
}

TEST_F(VfioCreateTest, TableOutsideItsBarIsRefused) {
  fakes::FakeDevice& odd = kernel_.AddNetwork("0000:03:00.0", 9);
  odd.SetConfig(0x74, 0x00003ff3, 4);
  EXPECT_EQ(Create(odd).status().code(), absl::StatusCode::kInvalidArgument);
  odd.SetConfig(0x74, 0x00000005, 4);
  EXPECT_EQ(Create(odd).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(VfioCreateTest, BarThatIsNoPowerOfTwoIsRefused) {
  fakes::FakeDevice& odd = kernel_.AddNetwork("0000:03:00.0", 9);
  odd.bars[1].resize(0x3000);
  odd.SetConfig(0x10, 0, 4);
  EXPECT_EQ(Create(odd).status().code(), absl::StatusCode::kInvalidArgument);
}

class InterruptsTest : public VfioFixture {
 protected:
  static int None(uint32_t) { return -1; }
  fakes::FakeDevice& other_ = kernel_.AddNetwork("0000:02:00.0", 9);
};

TEST_F(InterruptsTest, VectorsThatCannotGrowAreAllEnabledAtOnce) {
  other_.no_resize = true;
  auto host = OpenHost(other_);
  Interrupts interrupts(*host);
  interrupts.UseMessages(IrqIndex::kMsix, 3, None);
  EXPECT_THAT(other_.irqs.at(2), ElementsAre(-1, -1, -1));
  interrupts.Update(2, 1, [](uint32_t) { return 9; });
  EXPECT_THAT(other_.irqs.at(2), ElementsAre(-1, -1, 9));
  EXPECT_EQ(interrupts.armed(), 1u);
}

TEST_F(InterruptsTest, FewerVectorsThanAskedAreUsed) {
  other_.no_resize = true;
  other_.vectors_left = 2;
  auto host = OpenHost(other_);
  Interrupts interrupts(*host);
  interrupts.UseMessages(IrqIndex::kMsix, 3, [](uint32_t) { return 9; });
  EXPECT_THAT(other_.irqs.at(2), ElementsAre(9, 9));
  EXPECT_EQ(interrupts.armed(), 2u);
}

TEST_F(InterruptsTest, NewVectorsGoInRuns) {
  auto host = OpenHost(other_);
  Interrupts interrupts(*host);
  interrupts.UseMessages(IrqIndex::kMsix, 3, None);
  const int before = other_.irq_requests;
  interrupts.Update(0, 3, [](uint32_t v) { return v == 1 ? -1 : 9; });
  EXPECT_EQ(other_.irq_requests - before, 2);
  interrupts.Update(0, 3, [](uint32_t v) { return v == 1 ? -1 : 9; });
  EXPECT_EQ(other_.irq_requests - before, 2) << "asked for what is there";
}

TEST_F(InterruptsTest, HostWithoutVectorsLeavesTheDeviceSilent) {
  other_.vectors_left = 0;
  auto host = OpenHost(other_);
  Interrupts interrupts(*host);
  interrupts.UseMessages(IrqIndex::kMsix, 3, None);
  interrupts.Update(0, 3, [](uint32_t) { return 9; });
  EXPECT_EQ(interrupts.armed(), 0u);
}

}  // namespace
}  // namespace kvmlet::vfio
