// SPDX-License-Identifier: Apache-2.0
// The words in which each make of processor tells of a lost page, against the
// values of the manuals.
#include "arch/x86_64/machine_check.h"

#include <gtest/gtest.h>

#include "tests/arch/x86_64/cpu/cpuid_tables.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t kSupported = 1ull << 24 | 1ull << 8;
constexpr MemoryError kMet{.at = Gpa{0x12345678}, .action_required = true};
constexpr MemoryError kFound{.at = Gpa{0x12345678}, .action_required = false};

TEST(MachineCheckTest, IntelsActionRequired) {
  const kvm_x86_mce record = MachineCheckOf(kMet, /*amd=*/false);
  EXPECT_EQ(record.status, 0xbd80000000000134u);
  EXPECT_EQ(record.mcg_status, 7u);
  EXPECT_EQ(record.addr, 0x12345000u);
  EXPECT_EQ(record.misc, 0x8cu);
  EXPECT_EQ(record.bank, 9);
}

TEST(MachineCheckTest, IntelsActionOptional) {
  const kvm_x86_mce record = MachineCheckOf(kFound, /*amd=*/false);
  EXPECT_EQ(record.status, 0xbd000000000000c0u);
  EXPECT_EQ(record.mcg_status, 5u);
}

TEST(MachineCheckTest, AmdsPoisonAndDeferredError) {
  EXPECT_EQ(MachineCheckOf(kMet, true).status, 0xbc00080000000000u);
  EXPECT_EQ(MachineCheckOf(kMet, true).mcg_status, 7u);
  EXPECT_EQ(MachineCheckOf(kFound, true).status, 0x9c00180000000000u);
}

TEST(MachineCheckTest, TheOthersHearOfAnErrorWithoutAPlace) {
  const kvm_x86_mce record = BroadcastMachineCheck();
  EXPECT_EQ(record.status, 0xa000000000000000u);
  EXPECT_EQ(record.mcg_status, 5u);
  EXPECT_EQ(record.addr, 0u);
  EXPECT_NE(record.bank, MachineCheckOf(kMet, false).bank);
}

TEST(MachineCheckTest, TheModelFollowsTheProcessorAndKvm) {
  const MachineCheckModel intel = MachineCheckModelOf(IntelTable(), kSupported);
  EXPECT_FALSE(intel.amd);
  EXPECT_TRUE(intel.broadcast);  // family 6, model 0x8f
  EXPECT_EQ(intel.capabilities, kSupported | 10);
  const MachineCheckModel amd = MachineCheckModelOf(AmdTable(), kSupported);
  EXPECT_TRUE(amd.amd);
  EXPECT_FALSE(amd.broadcast);
  EXPECT_EQ(MachineCheckModelOf(IntelTable(), 1ull << 24).capabilities,
            1ull << 24 | 10);
  // Nothing that a guest could recover from.
  EXPECT_EQ(MachineCheckModelOf(IntelTable(), 1ull << 8).capabilities, 0u);
  EXPECT_EQ(MachineCheckModelOf(IntelTable(), 0).capabilities, 0u);
}

// A machine check of one processor alone, when KVM has it and the guest asks.
TEST(MachineCheckTest, IntelsLocalMachineCheck) {
  constexpr uint64_t kLocal = 1ull << 27;
  const auto intel = MachineCheckModelOf(IntelTable(), kSupported | kLocal);
  EXPECT_EQ(intel.capabilities, kSupported | kLocal | 10);
  EXPECT_TRUE(TakesLocalMachineChecks(intel, 1));
  EXPECT_FALSE(TakesLocalMachineChecks(intel, 0));
  EXPECT_EQ(MachineCheckOf(kMet, false, true).mcg_status, 0xfu);
  EXPECT_EQ(MachineCheckOf(kFound, false, true).mcg_status, 0xdu);
  const auto without = MachineCheckModelOf(IntelTable(), kSupported);
  EXPECT_FALSE(TakesLocalMachineChecks(without, 1));
  const auto amd = MachineCheckModelOf(AmdTable(), kSupported | kLocal);
  EXPECT_EQ(amd.capabilities, kSupported | 10);
  EXPECT_FALSE(TakesLocalMachineChecks(amd, 1));
  // Without recovery there is nothing to be told of.
  EXPECT_FALSE(MachineCheckModelOf(IntelTable(), kLocal).local);
}

TEST(MachineCheckTest, OldProcessorsTellNobodyElse) {
  CpuidTable table = IntelTable();
  FindLeaf(table, 1)->eax = 0x6d8;  // family 6, model 13
  EXPECT_FALSE(MachineCheckModelOf(table, kSupported).broadcast);
  FindLeaf(table, 1)->eax = 0x6e8;  // model 14
  EXPECT_TRUE(MachineCheckModelOf(table, kSupported).broadcast);
  FindLeaf(table, 1)->eax = 0xf43;  // family 15
  EXPECT_TRUE(MachineCheckModelOf(table, kSupported).broadcast);
}

TEST(MachineCheckTest, OnlyAReadyVcpuTakesOne) {
  const kvm_vcpu_events quiet{};
  kvm_vcpu_events waiting{};
  waiting.exception.injected = 1;
  waiting.exception.nr = 18;
  kvm_vcpu_events other = waiting;
  other.exception.nr = 14;
  const kvm_mp_state runs{.mp_state = KVM_MP_STATE_RUNNABLE};
  const kvm_mp_state halted{.mp_state = KVM_MP_STATE_HALTED};
  const kvm_mp_state off{.mp_state = KVM_MP_STATE_UNINITIALIZED};
  using State = MachineCheckState;
  EXPECT_EQ(MachineCheckStateOf(0x40, 0, quiet, runs), State::kReady);
  EXPECT_EQ(MachineCheckStateOf(0x40, 0, other, halted), State::kReady);
  EXPECT_EQ(MachineCheckStateOf(0, 0, quiet, runs), State::kMasked);
  EXPECT_EQ(MachineCheckStateOf(0x40, 0, quiet, off), State::kMasked);
  EXPECT_EQ(MachineCheckStateOf(0x40, 7, waiting, runs), State::kPending);
  EXPECT_EQ(MachineCheckStateOf(0x40, 7, quiet, runs), State::kBusy);
  EXPECT_EQ(MachineCheckStateOf(0x40, 7, other, runs), State::kBusy);
}

TEST(MachineCheckTest, AmdGuestsMayRecover) {
  const Topology one{};
  const CpuidTable amd = BuildCpuid(AmdTable(), FullHost(), one, 0);
  const kvm_cpuid_entry2* const leaf = FindLeaf(amd, 0x80000007);
  ASSERT_NE(leaf, nullptr);
  EXPECT_EQ(leaf->ebx & 3, 3u);
  EXPECT_EQ(FindLeaf(BuildCpuid(IntelTable(), FullHost(), one, 0), 0x80000007),
            nullptr);
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
