// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/config_space.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "vmm/bus/io_device.h"

namespace kvmlet::pci {
namespace {

class ConfigSpaceTest : public ::testing::Test {
 protected:
  uint64_t Read(uint16_t offset, size_t width) const {
    std::array<std::byte, 8> bytes{};
    config_.Read(offset, std::span(bytes).first(width));
    return LoadLe(bytes);
  }
  void Write(uint16_t offset, size_t width, uint64_t value) {
    std::array<std::byte, 8> bytes{};
    StoreLe(value, bytes);
    config_.Write(offset, std::span(bytes).first(width));
  }

  ConfigSpace config_{{.vendor_id = 0x1af4,
                       .device_id = 0x1042,
                       .revision = 3,
                       .class_code = 0x010203,
                       .subsystem_vendor_id = 0x1111,
                       .subsystem_id = 0x2222,
                       .interrupt_pin = 1}};
};

TEST_F(ConfigSpaceTest, HeaderReadsBackAtEveryWidth) {
  EXPECT_EQ(Read(0x00, 4), 0x10421af4u);
  EXPECT_EQ(Read(0x08, 4), 0x01020303u);
  EXPECT_EQ(Read(0x0a, 2), 0x0102u);
  EXPECT_EQ(Read(0x2c, 4), 0x22221111u);
  EXPECT_EQ(Read(0x3d, 1), 1u);
  EXPECT_EQ(Read(0x01, 2), 0x421au);
}

TEST_F(ConfigSpaceTest, IdentifiersAreReadOnly) {
  Write(0x00, 8, ~uint64_t{0});
  EXPECT_EQ(Read(0x00, 4), 0x10421af4u);
}

TEST_F(ConfigSpaceTest, OnlyKnownCommandBitsAreKept) {
  Write(0x04, 2, 0xffff);
  EXPECT_EQ(Read(0x04, 2), 0x0546u);
}

// 6.2.3: error bits of the status register are cleared by writing one.
TEST_F(ConfigSpaceTest, StatusErrorsAreWriteOneToClear) {
  config_.Set<uint16_t>(kStatus, 0x2008);
  Write(0x06, 2, 0x0000);
  EXPECT_EQ(Read(0x06, 2), 0x2008u);
  Write(0x06, 2, 0xffff);
  EXPECT_EQ(Read(0x06, 2), 0x0008u);
}

TEST_F(ConfigSpaceTest, CapabilitiesAreLinked) {
  const uint16_t first =
      config_.AddCapability(0x09, std::array<uint8_t, 5>{1, 2, 3, 4, 5});
  const uint16_t second =
      config_.AddCapability(0x11, std::array<uint8_t, 2>{6, 7});

  EXPECT_EQ(Read(kCapabilityPointer, 1), first);
  EXPECT_EQ(Read(first, 1), 0x09u);
  EXPECT_EQ(Read(static_cast<uint16_t>(first + 1), 1), second);
  EXPECT_EQ(Read(static_cast<uint16_t>(first + 6), 1), 5u);
  EXPECT_EQ(second % 4, 0);
  EXPECT_EQ(Read(static_cast<uint16_t>(second + 1), 1), 0u);
  EXPECT_NE(Read(kStatus, 2) & kStatusCapabilities, 0u);
}

TEST_F(ConfigSpaceTest, CapabilitiesAreReadOnlyUnlessSaidOtherwise) {
  const uint16_t at = config_.AddCapability(0x09, uint32_t{0x12345678});
  config_.SetWritable<uint8_t>(static_cast<uint16_t>(at + 2), 0x0f);

  Write(at, 4, 0xffffffff);

  EXPECT_EQ(Read(at, 4), 0x567f0009u);
}

TEST_F(ConfigSpaceTest, ExtendedCapabilitiesAreLinked) {
  const std::array<std::byte, 4> body{std::byte{1}};
  EXPECT_EQ(Read(0x100, 4), 0u);
  EXPECT_EQ(config_.AddExtendedCapability(0x0b, 1, body), 0x100);
  EXPECT_EQ(config_.AddExtendedCapability(0x0d, 2, body), 0x108);
  EXPECT_EQ(Read(0x100, 4), 0x1081000bu);
  EXPECT_EQ(Read(0x108, 4), 0x0002000du);
}

TEST_F(ConfigSpaceTest, AccessesBeyondTheSpaceAreSafe) {
  for (const int at : {253, 255, 256, 4093, 4095, 65535}) {
    const auto offset = static_cast<uint16_t>(at);
    Write(offset, 8, ~uint64_t{0});
    Read(offset, 8);
  }
  EXPECT_EQ(Read(256, 4), 0u);
}

TEST_F(ConfigSpaceTest, RestoreBringsBackTheSealedState) {
  config_.Set<uint8_t>(kInterruptLine, 11);
  config_.Seal();
  Write(kInterruptLine, 1, 5);
  config_.Restore();
  EXPECT_EQ(Read(kInterruptLine, 1), 11u);
}

}  // namespace
}  // namespace kvmlet::pci
