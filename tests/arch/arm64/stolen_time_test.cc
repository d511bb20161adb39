// SPDX-License-Identifier: Apache-2.0
// Where stolen time lies, without KVM: a mapper that remembers its calls, and
// a file in a vCPU's place.
#include "arch/arm64/stolen_time.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "arch/arm64/layout.h"

namespace kvmlet::arch::arm64 {
namespace {

class FakeMapper : public GuestMapper {
 public:
  struct Mapping {
    uint64_t guest;
    uint64_t size;
    const void* host;
  };
  absl::StatusOr<uint32_t> MapHost(uint64_t guest, uint64_t size,
                                   const void* host) override {
    if (!refusal.ok()) return refusal;
    mappings.push_back({guest, size, host});
    return static_cast<uint32_t>(mappings.size() - 1);
  }
  absl::Status UnmapHost(uint32_t) override { return absl::OkStatus(); }

  absl::Status refusal;
  std::vector<Mapping> mappings;
};

bool AllZero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes,
                             [](std::byte b) { return b == std::byte{0}; });
}

TEST(StolenTimeTest, IsOnePageBesideRamAndTheDevices) {
  FakeMapper mapper;
  const auto stolen = StolenTime::Create(mapper);
  ASSERT_TRUE(stolen.ok()) << stolen.status();
  ASSERT_EQ(mapper.mappings.size(), 1u);
  const FakeMapper::Mapping& page = mapper.mappings.front();
  EXPECT_EQ(page.guest % 0x10000, 0u);  // a page of any guest's size
  EXPECT_EQ(page.size % static_cast<uint64_t>(::getpagesize()), 0u);
  EXPECT_GT(page.guest, kPvpanic);
  EXPECT_LE(page.guest + page.size, kGicRedistributors);
  EXPECT_EQ(page.host, (*stolen)->bytes().data());
  EXPECT_TRUE(AllZero((*stolen)->bytes()));
}

TEST(StolenTimeTest, EveryVcpuHasALineOfItsOwnInIt) {
  for (uint32_t i = 0; i < kMaxVcpus; ++i) {
    const Gpa at = StolenTime::AddressOf(i);
    EXPECT_EQ(at.value % 64, 0u);
    EXPECT_GE(at.value, kStolenTime);
    EXPECT_LE(at.value + 64, kStolenTime + kStolenTimeSize);
    if (i > 0) {
      EXPECT_GE(at - StolenTime::AddressOf(i - 1), 64u);
    }
  }
}

TEST(StolenTimeTest, AResetLeavesNothingOfTheEarlierGuest) {
  FakeMapper mapper;
  const auto stolen = StolenTime::Create(mapper);
  ASSERT_TRUE(stolen.ok()) << stolen.status();
  // As the guest sees it.
  auto* const page =
      static_cast<std::byte*>(const_cast<void*>(mapper.mappings[0].host));
  std::memset(page, 0x5a, kStolenTimeSize);
  (*stolen)->Reset();
  EXPECT_TRUE(AllZero((*stolen)->bytes()));
}

TEST(StolenTimeTest, AHostWithoutRoomForTheSlotSaysSo) {
  FakeMapper mapper;
  mapper.refusal = absl::ResourceExhaustedError("no memory slot is left");
  EXPECT_EQ(StolenTime::Create(mapper).status(), mapper.refusal);
}

TEST(StolenTimeTest, KvmsRefusalNamesWhatItRefused) {
  const int file = ::memfd_create("vcpu", MFD_CLOEXEC);
  ASSERT_GE(file, 0);
  ASSERT_EQ(::ftruncate(file, 0x10000), 0);
  const auto vcpu = KvmVcpu::Create(UniqueFd(file), 0, 0x10000);
  ASSERT_TRUE(vcpu.ok()) << vcpu.status();
  const absl::Status status = StolenTime::Offer(**vcpu, 0);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("stolen time"));
}

}  // namespace
}  // namespace kvmlet::arch::arm64
