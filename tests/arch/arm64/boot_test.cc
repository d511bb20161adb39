// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/boot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "arch/arm64/layout.h"
#include "tests/arch/arm64/images.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::arch::arm64 {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kGiB = 1 << 30;

RamRange Ram(uint64_t size) { return {Gpa{kRam}, size}; }

BootFile Initrd(size_t size) {
  return BootFile::FromBytes("--initrd", "initrd", Bytes(size, std::byte{3}));
}

TEST(Arm64BootTest, KernelFirstThenInitrdThenTree) {
  const auto kernel = Examine(ImageParts().Build());
  const BootFile initrd = Initrd(5000);
  const auto placed = PlaceGuest(Ram(512 * kMiB), *kernel, &initrd, 0);
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_EQ(placed->kernel.value, kRam);
  EXPECT_EQ(placed->device_tree.value, kRam + 510 * kMiB);
  EXPECT_EQ(placed->initrd->base() % 0x10000, 0u);
  EXPECT_EQ(placed->initrd->size(), 5000u);
  EXPECT_LE(placed->initrd->last(), placed->device_tree.value);
  EXPECT_GT(placed->initrd->base(), kRam + 500 * kMiB);
}

TEST(Arm64BootTest, TablesGoBetweenInitrdAndTree) {
  constexpr uint64_t kFirmware = 0x40000;
  const auto kernel = Examine(ImageParts().Build());
  const BootFile initrd = Initrd(5000);
  const auto placed = PlaceGuest(Ram(512 * kMiB), *kernel, &initrd, kFirmware);
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_EQ(placed->device_tree.value, kRam + 510 * kMiB);
  EXPECT_EQ(placed->firmware.value, placed->device_tree.value - kFirmware);
  EXPECT_LT(placed->initrd->last(), placed->firmware.value);
}

TEST(Arm64BootTest, TablesNeverReachTheKernel) {
  const auto kernel = Examine(ImageParts().Build());
  for (uint64_t size = 2 * kMiB; size <= 64 * kMiB; size += kMiB) {
    const auto placed = PlaceGuest(Ram(size), *kernel, nullptr, 0x40000);
    if (!placed.ok()) continue;
    EXPECT_GE(placed->firmware.value,
              placed->kernel.value + kernel->plan().memory_size);
    EXPECT_LE(placed->device_tree.value + kMaxDeviceTree, kRam + size);
  }
  EXPECT_TRUE(PlaceGuest(Ram(64 * kMiB), *kernel, nullptr, 0x40000).ok());
  EXPECT_FALSE(PlaceGuest(Ram(2 * kMiB), *kernel, nullptr, 0x40000).ok());
}

TEST(Arm64BootTest, TreeStaysInTheFirstGiB) {
  const auto kernel = Examine(ImageParts().Build());
  const auto placed = PlaceGuest(Ram(8 * kGiB), *kernel, nullptr, 0);
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_EQ(placed->device_tree.value, kRam + kGiB - 2 * kMiB);
  EXPECT_FALSE(placed->initrd.has_value());
}

TEST(Arm64BootTest, TreeIsIn2MiBBlockWhateverTheSizeOfRam) {
  const auto kernel = Examine(ImageParts().Build());
  for (const uint64_t size : {129 * kMiB, 33 * kMiB, 7 * kMiB}) {
    const auto placed = PlaceGuest(Ram(size), *kernel, nullptr, 0);
    ASSERT_TRUE(placed.ok()) << placed.status();
    EXPECT_EQ(placed->device_tree.value % kMaxDeviceTree, 0u);
    EXPECT_LE(placed->device_tree.value + kMaxDeviceTree, kRam + size);
  }
}

TEST(Arm64BootTest, FlatBinaryGoesToTheClassicOffset) {
  const auto kernel = Examine(Bytes(0x1000));
  const auto placed = PlaceGuest(Ram(16 * kMiB), *kernel, nullptr, 0);
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_EQ(placed->kernel.value, kRam + 0x80000);
}

TEST(Arm64BootTest, LargeInitrdGoesAboveTheTree) {
  const auto kernel = Examine(ImageParts{.image_size = 1000 * kMiB}.Build());
  const BootFile initrd = Initrd(64 * kMiB);
  const auto placed = PlaceGuest(Ram(4 * kGiB), *kernel, &initrd, 0);
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_GE(placed->initrd->base(), placed->device_tree.value + kMaxDeviceTree);
  EXPECT_LT(placed->initrd->last(), kRam + 4 * kGiB);
}

TEST(Arm64BootTest, TooLittleMemoryIsTold) {
  const auto kernel = Examine(ImageParts{.image_size = 30 * kMiB}.Build());
  const BootFile initrd = Initrd(4 * kMiB);
  for (const uint64_t size : {1 * kMiB, 29 * kMiB, 31 * kMiB}) {
    const auto placed = PlaceGuest(Ram(size), *kernel, nullptr, 0);
    ASSERT_FALSE(placed.ok()) << size;
    EXPECT_EQ(ExitStatusFor(placed.status()), 65);
    EXPECT_THAT(std::string(placed.status().message()),
                HasSubstr("--kernel Image"));
  }
  ASSERT_TRUE(PlaceGuest(Ram(32 * kMiB), *kernel, nullptr, 0).ok());
  const auto placed = PlaceGuest(Ram(32 * kMiB), *kernel, &initrd, 0);
  ASSERT_FALSE(placed.ok());
  EXPECT_THAT(std::string(placed.status().message()),
              HasSubstr("--initrd initrd"));
}

TEST(Arm64BootTest, CopiesBothFiles) {
  const Bytes image = ImageParts().Build();
  const auto kernel = Examine(image);
  const BootFile initrd = Initrd(5000);
  const RamRange ram = Ram(16 * kMiB);
  const auto memory = GuestMemory::Create({&ram, 1}, BackingOptions{});
  ASSERT_TRUE(memory.ok()) << memory.status();
  const auto placed = PlaceGuest(ram, *kernel, &initrd, 0);
  ASSERT_TRUE(placed.ok()) << placed.status();
  ASSERT_TRUE(CopyGuest(*memory, *placed, *kernel, &initrd).ok());
  Bytes loaded(image.size());
  ASSERT_TRUE(memory->Read(placed->kernel, loaded));
  EXPECT_EQ(loaded, image);
  Bytes disk(5001);
  ASSERT_TRUE(memory->Read(Gpa{placed->initrd->base()}, disk));
  EXPECT_EQ(disk[4999], std::byte{3});
  EXPECT_EQ(disk[5000], std::byte{0});
}

TEST(Arm64BootTest, CommandLineThatLinuxWouldCutIsRefused) {
  const auto linux_image = Examine(ImageParts().Build());
  const auto flat = Examine(Bytes(64));
  EXPECT_TRUE(CheckCommandLine(*linux_image, std::string(2047, 'x')).ok());
  EXPECT_FALSE(CheckCommandLine(*linux_image, std::string(2048, 'x')).ok());
  EXPECT_TRUE(CheckCommandLine(*flat, std::string(2048, 'x')).ok());
  EXPECT_FALSE(CheckCommandLine(*flat, std::string_view("a\0b", 3)).ok());
}

}  // namespace
}  // namespace kvmlet::arch::arm64
