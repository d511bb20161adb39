// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory_block_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace kvmlet {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kGiB = 1ull << 30;
constexpr bool kPassthrough = true;

VirtioMemConfig Device(uint64_t max, uint64_t block = 0) {
  VirtioMemConfig config;
  config.id = "vm0";
  config.max = max;
  config.block = block;
  return config;
}

VirtioMemConfig Shared(VirtioMemConfig config) {
  config.backing.kind = BackingKind::kMemfd;
  return config;
}

uint64_t SizeOf(const std::vector<VirtioMemConfig>& all, bool passthrough,
                const BlockLimits& limits = {}) {
  const auto size = ChooseBlockSize(all.at(0), all, passthrough, limits);
  EXPECT_TRUE(size.ok()) << size.status();
  return size.value_or(0);
}

TEST(MemoryBlockSizeTest, PrivateMemoryIsWhatTheHostMapsAtOnce) {
  EXPECT_EQ(SizeOf({Device(1024 * kGiB)}, !kPassthrough), 2 * kMiB);
  EXPECT_EQ(SizeOf({Device(kGiB)}, !kPassthrough, {.huge_page = 32 * kMiB}),
            32 * kMiB);
  EXPECT_EQ(SizeOf({Device(kGiB, 4 * kMiB)}, !kPassthrough), 4 * kMiB);
}

TEST(MemoryBlockSizeTest, BlocksAreNoSmallerThanPages) {
  VirtioMemConfig config = Device(4 * kGiB);
  config.backing.kind = BackingKind::kHugetlb1G;
  EXPECT_EQ(SizeOf({config}, !kPassthrough), kGiB);
}

TEST(MemoryBlockSizeTest, MappingsOfTheProcessMakeBlocksLarger) {
  // 32765 mappings at most: 64 GiB are 32768 blocks of 2 MiB.
  EXPECT_EQ(SizeOf({Shared(Device(32 * kGiB))}, !kPassthrough), 2 * kMiB);
  EXPECT_EQ(SizeOf({Shared(Device(64 * kGiB))}, !kPassthrough), 4 * kMiB);
  // Another's share is as large.
  const VirtioMemConfig device = Shared(Device(32 * kGiB));
  EXPECT_EQ(SizeOf({device, device}, !kPassthrough), 4 * kMiB);
  EXPECT_EQ(SizeOf({device, Device(kGiB)}, !kPassthrough), 2 * kMiB);
}

TEST(MemoryBlockSizeTest, AChosenSizeThatCannotBeMappedIsRefused) {
  const VirtioMemConfig device = Shared(Device(64 * kGiB, 2 * kMiB));
  const auto size = ChooseBlockSize(device, {device}, !kPassthrough, {});
  ASSERT_FALSE(size.ok());
  EXPECT_THAT(size.status().message(), HasSubstr("--virtio-mem vm0: block=2M"));
  EXPECT_THAT(size.status().message(), HasSubstr("use block=4M"));
}

TEST(MemoryBlockSizeTest, ContainersMappingsMakeBlocksLarger) {
  // 65535 less 512 for all else; 128 GiB are 65536 blocks of 2 MiB.
  EXPECT_EQ(SizeOf({Device(127 * kGiB)}, kPassthrough), 4 * kMiB);
  EXPECT_EQ(SizeOf({Device(126 * kGiB)}, kPassthrough), 2 * kMiB);
  EXPECT_EQ(SizeOf({Device(128 * kGiB)}, !kPassthrough), 2 * kMiB);
  EXPECT_EQ(SizeOf({Device(1024 * kGiB)}, kPassthrough), 32 * kMiB);
  const VirtioMemConfig device = Device(64 * kGiB);
  EXPECT_EQ(SizeOf({device, device}, kPassthrough), 4 * kMiB);
  // What the user chose stays.
  EXPECT_EQ(SizeOf({Device(256 * kGiB, 2 * kMiB)}, kPassthrough), 2 * kMiB);
}

TEST(MemoryBlockSizeTest, TheFewestMappingsAreEnough) {
  const BlockLimits limits{.mappings = 4, .dma_entries = 1};
  EXPECT_EQ(SizeOf({Shared(Device(kGiB))}, kPassthrough, limits), kGiB);
}

TEST(MemoryBlockSizeTest, ThisHostHasLimits) {
  const BlockLimits limits = ReadBlockLimits();
  EXPECT_GE(limits.huge_page, 2 * kMiB);
  EXPECT_GT(limits.mappings, 0u);
  EXPECT_GT(limits.dma_entries, 0u);
}

}  // namespace
}  // namespace kvmlet
