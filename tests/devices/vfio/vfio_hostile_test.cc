// SPDX-License-Identifier: Apache-2.0
// What a guest, or an odd device, may do without end: nothing piles up, and
// the device works afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "devices/pci/spec.h"
#include "devices/vfio/guest_config.h"
#include "tests/devices/vfio/vfio_fixture.h"

namespace kvmlet::vfio {
namespace {

class VfioHostileTest : public VfioFixture {
 protected:
  uint32_t Random() { return (seed_ = seed_ * 1664525 + 1013904223) >> 8; }

 private:
  uint32_t seed_ = 12345;
};

TEST_F(VfioHostileTest, ABarThatMovesTenThousandTimesLeavesOneMapping) {
  const uint64_t low = kWindow64 + 0x100000;
  for (uint64_t i = 0; i < 10000; ++i) {
    WriteConfig(0x10, (low + (i % 64) * 0x4000) & 0xffffffff, 4);
    WriteConfig(0x14, low >> 32, 4);
    ASSERT_EQ(mapper_.Mapped().size(), 3u) << i;
    ASSERT_EQ(mapper_.Mapped().count(Bar(0)), 1u);
  }
}

// Base addresses of all kinds: over RAM, over the other BAR, beyond every
// address there is. A BAR is mapped in a window, or nowhere.
TEST_F(VfioHostileTest, WildBaseAddressesMapNothingOutsideTheWindows) {
  const uint64_t other = Bar(3);
  for (int i = 0; i < 10000; ++i) {
    const uint64_t wild = uint64_t{Random()} << (Random() % 40);
    WriteConfig(0x10, Random() % 8 == 0 ? other : wild & 0xffffffff, 4);
    WriteConfig(0x14, Random() % 8 == 0 ? 0 : wild >> 32, 4);
    ASSERT_EQ(mapper_.Mapped().count(other + 0x1000), 1u) << "BAR 3 is covered";
    for (const auto& [at, size] : mapper_.Mapped()) {
      const uint64_t window = at < kWindow64 ? kWindow32 : kWindow64;
      ASSERT_TRUE(at >= window && at + size <= window + kWindowSize) << at;
    }
  }
}

TEST_F(VfioHostileTest, DecodingAndPowerFlippedWithoutEnd) {
  for (int i = 0; i < 10000; ++i) {
    WriteConfig(pci::kCommand, Random() % 8, 2);
    WriteConfig(0x44, Random() % 4, 2);
    const bool reached = (ReadConfig(pci::kCommand, 2) & 2) != 0 &&
                         (ReadConfig(0x44, 2) & 3) == 0;
    ASSERT_EQ(mapper_.Mapped().size(), reached ? 3u : 0u);
    if (reached) continue;
    ASSERT_EQ(ReadMmio(Bar0_, 4), 0xffffffffu);
  }
  WriteConfig(0x44, 0, 2);
  WriteConfig(pci::kCommand, pci::kCommandMemory, 2);
  EXPECT_EQ(mapper_.Mapped().size(), 3u);
  EXPECT_EQ(ReadMmio(Bar0_, 4), 0u);
}

TEST_F(VfioHostileTest, WhatIsHiddenCannotBeWritten) {
  const auto before = device_.config;
  // ARI, SR-IOV with its control register, and the place of enhanced
  // allocation; every width.
  for (uint16_t at = 0x140; at < 0x1c0; ++at) {
    for (const size_t width : {1u, 2u, 4u, 8u}) {
      if (at + width <= 0x1c0) WriteConfig(at, UINT64_MAX, width);
    }
  }
  WriteConfig(0xe0, UINT64_MAX, 8);
  EXPECT_EQ(device_.config, before);
  EXPECT_EQ(ReadConfig(0x168, 4), 0u);
}

TEST_F(VfioHostileTest, MessagesSwitchedAHundredThousandTimes) {
  EnableMsix();
  UnmaskVector(0);
  UnmaskVector(2);
  for (int i = 0; i < 100000; ++i) {
    WriteConfig(0x72, 0, 2);
    WriteConfig(0x72, Random() % 2 == 0 ? 0xc000 : 0x8000, 2);
  }
  WriteConfig(0x72, pci::kMsixEnable, 2);
  EXPECT_EQ(interrupts_.live_msi_count(), 2u);
  ASSERT_EQ(device_.irqs.at(2).size(), 3u);
  const int before = interrupts_.msi(1).delivered;
  ASSERT_EQ(::eventfd_write(device_.irqs.at(2).at(2), 1), 0);
  WriteMmio(Bar(3) + 0x2c, 1, 4);
  EXPECT_EQ(interrupts_.msi(1).delivered, before + 1);
}

TEST_F(VfioHostileTest, NoSignalIsLostWhileVectorsAreMaskedAndUnmasked) {
  EnableMsix();
  UnmaskVector(0);
  const int fd = device_.irqs.at(2).at(0);
  const int requests = device_.irq_requests;
  for (int i = 0; i < 10000; ++i) {
    const int before = interrupts_.msi(0).delivered;
    WriteMmio(Bar(3) + 12, 1, 4);
    if (Random() % 2 == 0) WriteConfig(0x72, 0xc000, 2);
    ASSERT_EQ(::eventfd_write(fd, 1), 0);
    ASSERT_EQ(ReadMmio(Bar(3) + 0x2000, 8), 1u);
    WriteConfig(0x72, 0x8000, 2);
    WriteMmio(Bar(3) + 12, 0, 4);
    ASSERT_EQ(interrupts_.msi(0).delivered, before + 1) << i;
    ASSERT_EQ(ReadMmio(Bar(3) + 0x2000, 8), 0u);
  }
  EXPECT_EQ(device_.irq_requests, requests) << "the device was asked again";
}

TEST_F(VfioHostileTest, NonsenseInTheTableThenSense) {
  EnableMsix();
  for (int i = 0; i < 10000; ++i) {
    const uint64_t at = Bar(3) + Random() % 0x40;
    WriteMmio(at, uint64_t{Random()} << 32 | Random(), 1u << (Random() % 4));
  }
  for (uint64_t vector = 0; vector < 3; ++vector) UnmaskVector(vector);
  EXPECT_EQ(interrupts_.live_msi_count(), 3u);
  for (size_t i = 0; i < interrupts_.msi_count(); ++i) {
    EXPECT_EQ(interrupts_.msi(i).committed.address, 0xfee01000u);
    EXPECT_FALSE(interrupts_.msi(i).masked);
  }
}

// One kind of interrupt after every other.
TEST_F(VfioHostileTest, KindsOfInterruptsFollowEachOther) {
  const auto use = [this](uint32_t index) {
    WriteConfig(0x52, index == 1 ? 1 : 0, 2);
    WriteConfig(0x72, index == 2 ? pci::kMsixEnable : 0, 2);
    ASSERT_EQ(device_.irqs.count(index), 1u);
    size_t active = 0;
    for (const auto& [kind, fds] : device_.irqs) active += kind < 3 ? 1 : 0;
    ASSERT_EQ(active, 1u);
  };
  for (int i = 0; i < 1000; ++i) use(Random() % 3);
  for (const uint32_t kind : {0u, 1u, 2u, 0u, 2u, 1u, 0u}) use(kind);
}

TEST_F(VfioHostileTest, WithoutMemorySlotsTheMonitorAnswers) {
  fakes::FakeDevice& other = kernel_.AddNetwork("0000:02:00.0", 9);
  mapper_.limit = mapper_.Mapped().size() + 1;
  auto function = Create(other);
  ASSERT_TRUE(function.ok());
  address_ = *root_->AddRemovable(*std::move(function));
  EXPECT_EQ(mapper_.Mapped().size(), mapper_.limit);
  WriteMmio(Bar(0) + 0x10, 0x11223344, 4);
  EXPECT_EQ(other.bars[0][0x10], std::byte{0x44});
  WriteMmio(Bar(3) + 0x1010, 0x55, 1);
  EXPECT_EQ(other.bars[3][0x1010], std::byte{0x55});
  root_->Remove(address_);
  EXPECT_EQ(mapper_.Mapped().size(), 3u);
}

TEST_F(VfioHostileTest, BarOf256GiBIsPlacedAndAligned) {
  constexpr uint64_t kSize = 256ull << 30;
  constexpr uint64_t kHuge = 1ull << 41;
  fakes::FakeDevice& large = kernel_.AddNetwork("0000:02:00.0", 9);
  large.bar_sizes[0] = kSize;
  {
    auto function = Create(large);
    ASSERT_TRUE(function.ok()) << function.status();
    const auto refused = root_->AddRemovable(*std::move(function));
    EXPECT_THAT(std::string(refused.status().message()),
                ::testing::HasSubstr("0000:02:00.0: no room for a 268435456 "
                                     "KiB BAR"));
  }
  const pci::PciWindows windows{*AddressRange::Make(kEcam, 0x10000000),
                                *AddressRange::Make(kWindow32, kWindowSize),
                                *AddressRange::Make(kHuge, kHuge)};
  const auto root = *pci::PciRoot::Create(
      windows, interrupts_, doorbells_, [](uint32_t, uint32_t) { return 16; });
  auto function = Create(large);
  ASSERT_TRUE(function.ok()) << function.status();
  VfioPci& device = **function;
  ASSERT_TRUE(root->AddRemovable(*std::move(function)).ok());
  const uint64_t at = device.DecodedBar(0).value_or(0);
  EXPECT_TRUE(at >= kHuge && at % kSize == 0) << at;
  EXPECT_EQ(mapper_.Mapped().at(at), kSize);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(mapper_.hosts.at(at)) % (1u << 30), 0u)
      << "no page of 1 GiB can hold it";
}

// A device whose configuration space is made of random bytes: what the guest
// finds has chains that end, and nothing in them that is not for guests.
TEST_F(VfioHostileTest, RandomSpacesHaveChainsThatEnd) {
  std::vector<std::byte> raw(pci::kExtendedConfigSize);
  for (int round = 0; round < 2000; ++round) {
    for (std::byte& byte : raw) byte = static_cast<std::byte>(Random());
    raw[pci::kStatus] |= std::byte{pci::kStatusCapabilities};
    const GuestConfig config(raw);
    int hops = 0;
    for (uint64_t at = config.Get(pci::kCapabilityPointer, 1); at != 0;
         at = config.Get(static_cast<uint16_t>(at + 1), 1)) {
      ASSERT_GE(at, pci::kFirstCapability);
      ASSERT_LT(++hops, 64);
    }
    hops = 0;
    for (uint64_t at = pci::kFirstExtendedCapability; at != 0;
         at = config.Get(static_cast<uint16_t>(at), 4) >> 20) {
      ASSERT_GE(at, pci::kFirstExtendedCapability);
      ASSERT_NE(config.Get(static_cast<uint16_t>(at), 2), 0x10u) << "SR-IOV";
      ASSERT_LT(++hops, 1024);
    }
  }
}

}  // namespace
}  // namespace kvmlet::vfio
