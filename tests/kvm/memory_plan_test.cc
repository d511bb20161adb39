// SPDX-License-Identifier: Apache-2.0
// Where RAM and the PCI windows lie on this host.
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "tests/kvm/kvm_required.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t kGiB = 1ull << 30;

class MemoryPlanTest : public KvmRequired {
 protected:
  static absl::StatusOr<MemoryPlan> Plan(uint64_t size) {
    VmConfig config;
    config.memory.size = size;
    return PlanMemory(*KvmSystem::Open(), config, 0);
  }
};

TEST_F(MemoryPlanTest, SmallMemoryIsOneRange) {
  const auto plan = Plan(512ull << 20);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->ram.size(), 1u);
  EXPECT_EQ(plan->ram[0].base, Gpa{0});
  EXPECT_EQ(plan->ram[0].size, 512ull << 20);
}

TEST_F(MemoryPlanTest, LargeMemoryGoesOnAbove4GiB) {
  const auto plan = Plan(8 * kGiB);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->ram.size(), 2u);
  EXPECT_EQ(plan->ram[0].size, kRamHoleStart);
  EXPECT_EQ(plan->ram[1].base, Gpa{kRamHoleEnd});
  EXPECT_EQ(plan->ram[1].size, 8 * kGiB - kRamHoleStart);
}

TEST_F(MemoryPlanTest, NothingOverlaps) {
  for (const uint64_t size : {kGiB, 3 * kGiB, 4 * kGiB, 16 * kGiB}) {
    const auto plan = Plan(size);
    ASSERT_TRUE(plan.ok());
    std::vector<AddressRange> all = {plan->ecam, plan->mmio32, plan->mmio64};
    ASSERT_TRUE(plan->device_memory);
    EXPECT_EQ(plan->device_memory->base() % plan->memory_block, 0u);
    EXPECT_GE(plan->device_memory->base(), kRamHoleEnd);
    all.push_back(*plan->device_memory);
    for (const RamRange& ram : plan->ram) {
      all.push_back(*AddressRange::Make(ram.base.value, ram.size));
    }
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t j = 0; j < i; ++j) EXPECT_FALSE(all[i].Overlaps(all[j]));
    }
  }
}

TEST_F(MemoryPlanTest, RamUpToTheWindowLeavesNoDeviceMemory) {
  const uint64_t window = Plan(kGiB)->mmio64.base();
  const auto plan = Plan(window - kRamHoleEnd + kRamHoleStart);
  ASSERT_TRUE(plan.ok());
  EXPECT_FALSE(plan->device_memory);
}

TEST_F(MemoryPlanTest, MoreThanTheProcessorAddressesIsRefused) {
  const auto plan = Plan(1ull << 46);
  EXPECT_EQ(ExitStatusFor(plan.status()), 65);
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
