// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/guest_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "devices/pci/spec.h"
#include "tests/fakes/fake_vfio.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::vfio {
namespace {

using ::testing::ElementsAre;

class GuestConfigTest : public ::testing::Test {
 protected:
  GuestConfig Make() { return GuestConfig(device_.config); }
  // What the guest reads: the device's answer with the monitor's over it.
  uint64_t Read(const GuestConfig& config, uint16_t offset, size_t bytes) {
    std::array<std::byte, 8> data{};
    const auto part = std::span(data).first(bytes);
    StoreLe(device_.GetConfig(offset, bytes), part);
    config.Overlay(offset, part);
    return LoadLe(part);
  }
  struct Passed {
    uint16_t offset;
    uint64_t value;
    size_t bytes;
    friend bool operator==(const Passed&, const Passed&) = default;
  };
  std::vector<Passed> Write(GuestConfig& config, uint16_t offset,
                            uint64_t value, size_t bytes) {
    std::array<std::byte, 8> data{};
    StoreLe(value, data);
    std::vector<Passed> passed;
    config.Write(offset, std::span(data).first(bytes),
                 [&](uint16_t at, std::span<const std::byte> run) {
                   passed.push_back({at, LoadLe(run), run.size()});
                 });
    return passed;
  }
  std::vector<uint64_t> Chain(const GuestConfig& config) {
    std::vector<uint64_t> ids;
    uint64_t at = Read(config, 0x34, 1);
    while (at != 0 && ids.size() < 64) {
      ids.push_back(Read(config, static_cast<uint16_t>(at), 1));
      at = Read(config, static_cast<uint16_t>(at + 1), 1);
    }
    return ids;
  }
  std::vector<uint64_t> ExtendedChain(const GuestConfig& config) {
    std::vector<uint64_t> ids;
    uint64_t at = 0x100;
    while (at != 0 && ids.size() < 64) {
      const uint64_t header = Read(config, static_cast<uint16_t>(at), 4);
      ids.push_back(header & 0xffff);
      at = header >> 20;
    }
    return ids;
  }

  fakes::FakeVfio vfio_;
  fakes::FakeDevice& device_ = vfio_.AddNetwork("0000:01:10.0", 7);
};

TEST_F(GuestConfigTest, ChainHasWhatGuestsUse) {
  EXPECT_THAT(Chain(Make()), ElementsAre(0x01, 0x05, 0x11, 0x10));
  EXPECT_EQ(Read(Make(), 0xe0, 2), 0u);  // enhanced allocation is gone
}

TEST_F(GuestConfigTest, ExtendedChainLeavesOutTheHostsBusiness) {
  const GuestConfig config = Make();
  EXPECT_THAT(ExtendedChain(config), ElementsAre(0x0001, 0x0003));
  EXPECT_EQ(Read(config, 0x144, 4), 0u);
  EXPECT_EQ(Read(config, 0x184, 4), 0u) << "a host's address is visible";
}

TEST_F(GuestConfigTest, HiddenFirstExtendedCapabilityLeavesThePointer) {
  device_.SetConfig(0x100, 0x14010010, 4);
  const GuestConfig config = Make();
  EXPECT_EQ(Read(config, 0x100, 4), 0x1c000000u);
  EXPECT_THAT(ExtendedChain(config), ElementsAre(0x0000, 0x0003));
}

TEST_F(GuestConfigTest, NoExtendedCapabilitiesAtAll) {
  device_.SetConfig(0x100, 0xffffffff, 4);
  EXPECT_EQ(Read(Make(), 0x100, 4), 0u);
}

TEST_F(GuestConfigTest, OnlyHiddenExtendedCapabilitiesReadAsNone) {
  device_.SetConfig(0x100, 0x00010010, 4);
  EXPECT_EQ(Read(Make(), 0x100, 4), 0u);
}

TEST_F(GuestConfigTest, LoopsInBothChainsEnd) {
  device_.SetConfig(0xa1, 0x40, 1);
  device_.SetConfig(0x1c0, 0x10010003, 4);
  const GuestConfig config = Make();
  EXPECT_THAT(Chain(config), ElementsAre(0x01, 0x05, 0x11, 0x10));
  EXPECT_THAT(ExtendedChain(config), ElementsAre(0x0001, 0x0003));
}

TEST_F(GuestConfigTest, PointersIntoTheHeaderEndTheChain) {
  device_.SetConfig(0x41, 0x10, 1);
  EXPECT_THAT(Chain(Make()), ElementsAre(0x01));
}

TEST_F(GuestConfigTest, CapabilityAtTheEdgeIsNotUsed) {
  device_.SetConfig(0x34, 0xfc, 1);
  device_.SetConfig(0xfc, 0x0011, 2);
  EXPECT_EQ(Make().msix(), 0u);
  device_.SetConfig(0xfc, 0x0005, 2);
  EXPECT_EQ(Make().msi(), 0u);
}

TEST_F(GuestConfigTest, EndpointIsIntegratedAndHasNoLink) {
  const GuestConfig config = Make();
  EXPECT_EQ(Read(config, 0xa2, 2), 0x92u);
  EXPECT_EQ(Read(config, 0xac, 4), 0u);
}

TEST_F(GuestConfigTest, ConventionalDeviceHasNoExtendedSpace) {
  const GuestConfig config(std::span(device_.config).first(256));
  EXPECT_EQ(Read(config, 0x100, 4), 0u);
  EXPECT_EQ(Read(config, 0xffc, 4), 0u);
}

TEST_F(GuestConfigTest, SiblingsAndRomAreNotShown) {
  device_.SetConfig(0x30, 0xfffff801, 4);
  const GuestConfig config = Make();
  EXPECT_EQ(Read(config, 0x0e, 1), 0u);
  EXPECT_EQ(Read(config, 0x30, 4), 0u);
}

TEST_F(GuestConfigTest, BarIsSizedByWritingOnes) {
  GuestConfig config = Make();
  const pci::BarSpec bar{
      .index = 0, .size = 0x4000, .is_64bit = true, .prefetchable = true};
  config.AddBar(bar);
  config.SetBar(bar, 0x8000010000);
  EXPECT_EQ(Read(config, 0x10, 8), 0x800001000cu);
  EXPECT_TRUE(Write(config, 0x10, UINT64_MAX, 8).empty());
  EXPECT_EQ(Read(config, 0x10, 8), 0xffffffffffffc00cu);
  Write(config, 0x14, 0x80, 4);
  Write(config, 0x10, 0x20000, 4);
  EXPECT_EQ(config.BarAddress(bar), 0x8000020000u);
}

TEST_F(GuestConfigTest, BarThatIsNotThereCannotBeWritten) {
  GuestConfig config = Make();
  EXPECT_TRUE(Write(config, 0x14, 0xffffffff, 4).empty());
  EXPECT_EQ(Read(config, 0x14, 4), 0u);
}

TEST_F(GuestConfigTest, WriteAcrossOursAndTheDevicesIsSplit) {
  GuestConfig config = Make();
  // Status is the device's; command too.
  EXPECT_THAT(Write(config, 0x04, 0x00100406, 4),
              ElementsAre(Passed{0x04, 0x00100406, 4}));
  // Interrupt line and pin are ours, the two latency bytes are not.
  EXPECT_THAT(Write(config, 0x3c, 0xaabb020b, 4),
              ElementsAre(Passed{0x3e, 0xaabb, 2}));
  EXPECT_EQ(Read(config, 0x3c, 2), 0x010bu);
}

TEST_F(GuestConfigTest, MsixControlIsTakenFromADwordWriteToo) {
  GuestConfig config = Make();
  EXPECT_TRUE(Write(config, 0x70, 0xffffffff, 4).empty());
  EXPECT_EQ(Read(config, 0x70, 4), 0xc002a011u);
  Write(config, 0x73, 0x00, 1);
  EXPECT_EQ(Read(config, 0x70, 4), 0x0002a011u);
}

TEST_F(GuestConfigTest, MsiRegistersKeepWhatSoftwareMayWrite) {
  GuestConfig config = Make();
  Write(config, 0x50, 0xffffffff, 4);
  EXPECT_EQ(Read(config, 0x50, 4), 0x01f57005u);
  Write(config, 0x54, UINT64_MAX, 8);
  EXPECT_EQ(Read(config, 0x54, 8), 0xfffffffffffffffcu);
}

TEST_F(GuestConfigTest, RestoreGoesBackToTheSeal) {
  GuestConfig config = Make();
  config.Seal();
  Write(config, 0x72, 0x8000, 2);
  config.Restore();
  EXPECT_EQ(Read(config, 0x72, 2), 0x0002u);
}

TEST_F(GuestConfigTest, AccessesBeyondTheEndAreHarmless) {
  GuestConfig config = Make();
  std::array<std::byte, 8> data{};
  FillOnes(data);
  config.Overlay(0xffe, data);
  EXPECT_EQ(LoadLe(std::span(data).subspan(2)), 0u);
  EXPECT_THAT(Write(config, 0xffe, UINT64_MAX, 8),
              ElementsAre(Passed{0xffe, 0xffff, 2}));
}

}  // namespace
}  // namespace kvmlet::vfio
