// SPDX-License-Identifier: Apache-2.0
#include "vmm/peer_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_vfio.h"

namespace kvmlet {
namespace {

constexpr uint64_t kAt = 0xc0000000;

class PeerMapTest : public ::testing::Test {
 protected:
  PeerMapTest() {
    first_handle_ = *space_->Open(kernel_.FactsOf(first_), {});
    map_.AddDevice(*space_);
  }
  void AddSecond() {
    second_handle_ = *space_->Open(kernel_.FactsOf(second_), {});
    map_.AddDevice(*space_);
  }
  void RemoveSecond() {
    second_handle_.reset();
    map_.RemoveDevice(*space_);
  }
  uint32_t Map(uint64_t at) {
    const auto number = map_.MapHost(at, 0x1000, &kernel_);
    EXPECT_TRUE(number.ok()) << number.status();
    return *number;
  }

  fakes::FakeVfio kernel_;
  fakes::FakeDevice& first_ = kernel_.AddNetwork("0000:01:10.0", 7);
  fakes::FakeDevice& second_ = kernel_.AddNetwork("0000:01:10.1", 8);
  std::unique_ptr<vfio::AddressSpace> space_ =
      vfio::MakeContainer({.calls = kernel_, .paths = {}, .kvm = &kernel_});
  fakes::FakeMapper guest_;
  PeerMap map_{guest_};
  std::unique_ptr<vfio::DeviceHandle> first_handle_;
  std::unique_ptr<vfio::DeviceHandle> second_handle_;
};

TEST_F(PeerMapTest, ADeviceAloneHasNobodyToReach) {
  Map(kAt);
  EXPECT_EQ(guest_.Mapped().size(), 1u);
  EXPECT_EQ(kernel_.mapped(), 0u);
}

TEST_F(PeerMapTest, DevicesReachWhatTheGuestReaches) {
  const uint32_t before = Map(kAt);
  AddSecond();
  EXPECT_EQ(kernel_.mapped(), 1u);
  const uint32_t after = Map(kAt + 0x1000);
  EXPECT_EQ(kernel_.mapped(), 2u);
  EXPECT_EQ(space_->mapped_bytes(), 0u) << "no page of it is locked";
  ASSERT_TRUE(map_.UnmapHost(before).ok());
  EXPECT_EQ(kernel_.mapped(), 1u);
  ASSERT_TRUE(map_.UnmapHost(after).ok());
  EXPECT_EQ(kernel_.mapped(), 0u);
  EXPECT_TRUE(guest_.Mapped().empty());
}

TEST_F(PeerMapTest, ABarThatMovesLeavesNothing) {
  AddSecond();
  for (uint64_t i = 0; i < 10000; ++i) {
    const uint32_t number = Map(kAt + (i % 16) * 0x1000);
    ASSERT_EQ(kernel_.mapped(), 1u);
    ASSERT_TRUE(map_.UnmapHost(number).ok());
  }
  EXPECT_EQ(kernel_.mapped(), 0u);
}

TEST_F(PeerMapTest, TheLastButOneTakesItAway) {
  Map(kAt);
  for (int i = 0; i < 3; ++i) {
    AddSecond();
    EXPECT_EQ(kernel_.mapped(), 1u);
    RemoveSecond();
    EXPECT_EQ(kernel_.mapped(), 0u);
  }
  EXPECT_EQ(guest_.Mapped().size(), 1u) << "the guest reaches it still";
}

TEST_F(PeerMapTest, AHostThatRefusesHarmsNobody) {
  kernel_.iova_limit = kAt - 1;
  AddSecond();
  const uint32_t number = Map(kAt);
  EXPECT_EQ(guest_.Mapped().size(), 1u);
  EXPECT_EQ(kernel_.mapped(), 0u);
  ASSERT_TRUE(map_.UnmapHost(number).ok());
  // Nor does one that changes its mind between two devices.
  kernel_.iova_limit = UINT64_MAX;
  Map(kAt);
  second_handle_.reset();
  first_handle_.reset();
  kernel_.iova_limit = kAt - 1;
  EXPECT_TRUE(space_->Open(kernel_.FactsOf(first_), {}).ok());
}

}  // namespace
}  // namespace kvmlet
