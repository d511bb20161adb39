// SPDX-License-Identifier: Apache-2.0
// Exits as newer kernels fill them in, and what must not be taken for one.
#include "vmm/kvm/memory_exits.h"

#include <gtest/gtest.h>
#include <linux/kvm.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>

namespace kvmlet {
namespace {

constexpr Gpa kPage{0x4567000};

kvm_run Exit(uint32_t reason, std::initializer_list<uint64_t> details) {
  kvm_run run{};
  run.exit_reason = reason;
  std::memcpy(run.padding, details.begin(), details.size() * sizeof(uint64_t));
  return run;
}

TEST(MemoryExitsTest, AMemoryFaultOfALostPageNamesIt) {
  const kvm_run run = Exit(kExitMemoryFault, {0, kPage.value, 0x1000});
  EXPECT_EQ(LostMemoryOf(run, EHWPOISON), kPage);
}

// Memory that is not there is another matter, and so is an errno that comes
// while an older exit is still to be read.
TEST(MemoryExitsTest, OtherFaultsAreNoLostMemory) {
  const kvm_run fault = Exit(kExitMemoryFault, {0, kPage.value, 0x1000});
  for (const int error : {0, EFAULT, EINTR, EAGAIN}) {
    EXPECT_EQ(LostMemoryOf(fault, error), std::nullopt) << error;
  }
  const kvm_run mmio = Exit(KVM_EXIT_MMIO, {kPage.value, 0, 0});
  for (const int error : {0, EHWPOISON}) {
    EXPECT_EQ(LostMemoryOf(mmio, error), std::nullopt) << error;
  }
}

TEST(MemoryExitsTest, AnExternalAbortNamesThePageWhenKvmKnowsIt) {
  constexpr uint64_t kEsr = 0x92000010;
  constexpr uint64_t kGva = 0xffff0000;
  const kvm_run known = Exit(kExitArmSea, {1, kEsr, kGva, kPage.value});
  EXPECT_EQ(LostMemoryOf(known, 0), kPage);
  EXPECT_EQ(LostMemoryOf(known, EINTR), std::nullopt);
  const kvm_run unknown = Exit(kExitArmSea, {0, kEsr, kGva, kPage.value});
  EXPECT_EQ(LostMemoryOf(unknown, 0), std::nullopt);
}

}  // namespace
}  // namespace kvmlet
