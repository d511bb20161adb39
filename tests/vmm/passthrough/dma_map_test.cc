// SPDX-License-Identifier: Apache-2.0
#include "vmm/dma_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "tests/fakes/fake_vfio.h"

namespace kvmlet {
namespace {

constexpr uint64_t kBlock = 0x200000;
constexpr uint64_t kBase = 0x100000000;

class DmaMapTest : public ::testing::Test {
 protected:
  DmaMapTest() {
    spaces_.push_back(
        vfio::MakeContainer({.calls = kernel_, .paths = {}, .kvm = &kernel_}));
    handle_ = *spaces_[0]->Open(kernel_.FactsOf(device_), {});
  }
  // Blocks are never touched: any address will do.
  RamRegion Part(uint64_t first, uint64_t count) {
    return {.base = Gpa{kBase + first * kBlock},
            .size = count * kBlock,
            .host = reinterpret_cast<std::byte*>(0x10000000 + first * kBlock)};
  }

  fakes::FakeVfio kernel_;
  fakes::FakeDevice& device_ = kernel_.AddNetwork("0000:01:10.0", 7);
  std::vector<std::unique_ptr<vfio::AddressSpace>> spaces_;
  std::unique_ptr<vfio::DeviceHandle> handle_;
};

TEST_F(DmaMapTest, EveryBlockIsAMappingOfItsOwn) {
  DmaMap map(spaces_, kBlock);
  ASSERT_TRUE(map.OnPlug(Part(0, 4)).ok());
  EXPECT_EQ(kernel_.mapped(), 4u);
  EXPECT_EQ(spaces_[0]->mapped_bytes(), 4 * kBlock);
  map.OnUnplug(Part(1, 2));
  EXPECT_EQ(kernel_.mapped(), 2u);
  ASSERT_TRUE(map.OnPlug(Part(1, 1)).ok());
  map.OnUnplug(Part(3, 1));
  map.OnUnplug(Part(0, 2));
  EXPECT_EQ(kernel_.mapped(), 0u);
}

TEST_F(DmaMapTest, PlugThatCannotBePinnedLeavesNothing) {
  DmaMap map(spaces_, kBlock);
  ASSERT_TRUE(map.OnPlug(Part(0, 1)).ok());
  kernel_.iova_limit = kBase + 3 * kBlock - 1;
  EXPECT_FALSE(map.OnPlug(Part(1, 4)).ok());
  EXPECT_EQ(kernel_.mapped(), 1u);
  EXPECT_EQ(spaces_[0]->mapped_bytes(), kBlock);
  kernel_.iova_limit = UINT64_MAX;
  EXPECT_TRUE(map.OnPlug(Part(1, 4)).ok());
}

TEST_F(DmaMapTest, MoreMappingsThanAContainerHasLeaveNothing) {
  DmaMap map(spaces_, kBlock);
  ASSERT_TRUE(map.OnPlug(Part(0, 1)).ok());
  kernel_.map_limit = 3;
  const absl::Status status = map.OnPlug(Part(1, 4));
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("dma_entry_limit"));
  EXPECT_EQ(kernel_.mapped(), 1u);
  EXPECT_TRUE(map.OnPlug(Part(1, 2)).ok());
}

TEST_F(DmaMapTest, DeviceThatComesLaterReachesWhatIsPlugged) {
  DmaMap map(spaces_, kBlock);
  handle_.reset();
  ASSERT_TRUE(map.OnPlug(Part(0, 2)).ok());
  EXPECT_EQ(kernel_.mapped(), 0u);
  handle_ = *spaces_[0]->Open(kernel_.FactsOf(device_), {});
  EXPECT_EQ(kernel_.mapped(), 2u);
}

}  // namespace
}  // namespace kvmlet
