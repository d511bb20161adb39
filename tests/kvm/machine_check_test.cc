// SPDX-License-Identifier: Apache-2.0
// What KVM and a vCPU make of a memory error: the banks that the guest reads,
// and each reason for which it cannot hear of one.
#include "arch/x86_64/machine_check.h"

#include <gtest/gtest.h>

#include "tests/kvm/guest_fixture.h"

namespace kvmlet {
namespace {

using arch::MemoryErrorResult;
using arch::x86_64::InjectMachineCheck;
using arch::x86_64::MachineCheckModel;
using arch::x86_64::MachineCheckOf;

constexpr uint32_t kMsrMcgStatus = 0x17a;
constexpr uint32_t kMsrMcgCtl = 0x17b;
constexpr uint32_t kMsrBank1Status = 0x400 + 4 * 1 + 1;
constexpr uint32_t kMsrBank9Status = 0x400 + 4 * 9 + 1;
constexpr uint32_t kMsrBank9Address = kMsrBank9Status + 1;
constexpr uint64_t kCr4Mce = 1 << 6;
constexpr MemoryError kMet{.at = Gpa{0x201000}, .action_required = true};
constexpr MemoryError kFound{.at = Gpa{0x201000}, .action_required = false};

class MachineCheckKvmTest : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    const uint64_t supported =
        arch::x86_64::QueryMachineCheckCapabilities(*system_);
    if ((supported >> 24 & 1) == 0) {
      GTEST_SKIP() << "this KVM has no machine checks that software recovers";
    }
    const auto table = arch::x86_64::QueryCpuid(*system_);
    ASSERT_TRUE(table.ok()) << table.status();
    model_ = arch::x86_64::MachineCheckModelOf(*table, supported);
    vcpu_ = MakeVcpu(0);
    ASSERT_NE(vcpu_, nullptr);
    arch::x86_64::CpuidList list(table->size());
    for (const kvm_cpuid_entry2& entry : *table) list.Add(entry);
    ASSERT_TRUE(vcpu_->fd().Set(arch::x86_64::kSetCpuid2, list.header()).ok());
    ASSERT_TRUE(SetUpMachineChecks(*vcpu_, model_).ok());
    SetCr4Mce(true);
  }

  void SetCr4Mce(bool on) {
    kvm_sregs sregs = *vcpu_->fd().Get(arch::x86_64::kGetSregs);
    sregs.cr4 = on ? sregs.cr4 | kCr4Mce : sregs.cr4 & ~kCr4Mce;
    ASSERT_TRUE(vcpu_->fd().Set(arch::x86_64::kSetSregs, sregs).ok());
  }
  // As if the vCPU had taken what was pending.
  void TakeException() {
    const kvm_vcpu_events none{};
    ASSERT_TRUE(vcpu_->fd().Set(arch::x86_64::kSetVcpuEvents, none).ok());
  }
  uint64_t Msr(uint32_t index) {
    arch::x86_64::MsrList list(1);
    list.Add({.index = index, .reserved = 0, .data = 0});
    const auto read =
        vcpu_->fd().Exchange(arch::x86_64::kGetMsrs, list.header());
    EXPECT_TRUE(read.ok() && *read == 1) << index;
    return list.entries()[0].data;
  }
  void SetMsr(uint32_t index, uint64_t value) {
    arch::x86_64::MsrList list(1);
    list.Add({.index = index, .reserved = 0, .data = value});
    const auto written =
        vcpu_->fd().Exchange(arch::x86_64::kSetMsrs, list.header());
    ASSERT_TRUE(written.ok() && *written == 1) << index;
  }
  MemoryErrorResult Inject(const MemoryError& error, bool own = true) {
    const auto result = InjectMachineCheck(*vcpu_, model_, error, own);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(MemoryErrorResult::kUntold);
  }

  MachineCheckModel model_;
  std::unique_ptr<KvmVcpu> vcpu_;
};

TEST_F(MachineCheckKvmTest, TheGuestFindsTheRecordInBank9) {
  for (const bool amd : {false, true}) {
    model_.amd = amd;
    ASSERT_TRUE(ResetMachineChecks(*vcpu_, model_).ok());
    TakeException();
    EXPECT_EQ(Inject(kMet), MemoryErrorResult::kTold);
    EXPECT_EQ(Msr(kMsrBank9Status), MachineCheckOf(kMet, amd).status);
    EXPECT_EQ(Msr(kMsrBank9Address), kMet.at.value);
    EXPECT_EQ(Msr(kMsrMcgStatus), 7u);
  }
}

TEST_F(MachineCheckKvmTest, ADeferredErrorOfAmdInterruptsNobody) {
  model_.amd = true;
  SetCr4Mce(false);
  EXPECT_EQ(Inject(kFound), MemoryErrorResult::kTold);
  EXPECT_EQ(Msr(kMsrBank9Status), MachineCheckOf(kFound, true).status);
  EXPECT_EQ(Msr(kMsrMcgStatus), 0u);
}

// A bank holds one record, and the guest of an AMD processor polls it.
TEST_F(MachineCheckKvmTest, ADeferredErrorOfAmdWaitsForTheLastOne) {
  constexpr MemoryError kNext{.at = Gpa{0x202000}, .action_required = false};
  model_.amd = true;
  EXPECT_EQ(Inject(kFound), MemoryErrorResult::kTold);
  EXPECT_EQ(Inject(kNext), MemoryErrorResult::kLater);
  EXPECT_EQ(Msr(kMsrBank9Address), kFound.at.value);
  SetMsr(kMsrBank9Status, 0);
  EXPECT_EQ(Inject(kNext), MemoryErrorResult::kTold);
  EXPECT_EQ(Msr(kMsrBank9Address), kNext.at.value);
}

// A found error can wait until the guest is ready, an error that is met cannot.
TEST_F(MachineCheckKvmTest, AnErrorThatWasFoundWaitsForTheOneBefore) {
  model_.amd = false;
  EXPECT_EQ(Inject(kMet), MemoryErrorResult::kTold);
  EXPECT_EQ(Inject(kFound), MemoryErrorResult::kLater) << "not taken yet";
  TakeException();
  EXPECT_EQ(Inject(kFound), MemoryErrorResult::kLater) << "being handled";
  SetMsr(kMsrMcgStatus, 0);
  EXPECT_EQ(Inject(kFound), MemoryErrorResult::kTold);
}

TEST_F(MachineCheckKvmTest, OneThatWaitsIsTakenFirst) {
  EXPECT_EQ(Inject(kMet), MemoryErrorResult::kTold);
  const uint64_t status = Msr(kMsrBank9Status);
  EXPECT_EQ(Inject(kMet), MemoryErrorResult::kTold);
  EXPECT_EQ(Msr(kMsrBank9Status), status);  // and no overflow
}

TEST_F(MachineCheckKvmTest, AnErrorInTheHandlerCannotBeTold) {
  EXPECT_EQ(Inject(kMet), MemoryErrorResult::kTold);
  TakeException();
  EXPECT_EQ(Inject(kMet), MemoryErrorResult::kCannotTell);
}

TEST_F(MachineCheckKvmTest, AGuestThatMasksThemCannotBeTold) {
  SetCr4Mce(false);
  EXPECT_EQ(Inject(kMet), MemoryErrorResult::kCannotTell);
  EXPECT_EQ(Msr(kMsrBank9Status), 0u);
}

TEST_F(MachineCheckKvmTest, AGuestThatSwitchedThemOffCannotBeTold) {
  if ((model_.capabilities >> 8 & 1) == 0) GTEST_SKIP() << "no MCG_CTL here";
  SetMsr(kMsrMcgCtl, 0);
  EXPECT_EQ(Inject(kMet), MemoryErrorResult::kCannotTell);
}

TEST_F(MachineCheckKvmTest, TheOthersHearOfItWhereTheProcessorSaysSo) {
  model_.broadcast = false;
  EXPECT_EQ(Inject(kMet, /*own=*/false), MemoryErrorResult::kUntold);
  model_.broadcast = true;
  EXPECT_EQ(Inject(kMet, /*own=*/false), MemoryErrorResult::kTold);
  EXPECT_NE(Msr(kMsrBank1Status), 0u);
  EXPECT_EQ(Msr(kMsrBank9Status), 0u);
}

TEST_F(MachineCheckKvmTest, OthersThatCannotHearOfItAreLeftAlone) {
  model_.broadcast = true;
  SetCr4Mce(false);
  EXPECT_EQ(Inject(kMet, /*own=*/false), MemoryErrorResult::kUntold);
  EXPECT_EQ(Msr(kMsrBank1Status), 0u);
}

TEST_F(MachineCheckKvmTest, AResetClearsTheBanksAndEnablesThem) {
  EXPECT_EQ(Inject(kMet), MemoryErrorResult::kTold);
  SetMsr(kMsrMcgCtl, 0);
  TakeException();
  ASSERT_TRUE(ResetMachineChecks(*vcpu_, model_).ok());
  EXPECT_EQ(Msr(kMsrMcgStatus), 0u);
  EXPECT_EQ(Msr(kMsrBank9Status), 0u);
  EXPECT_EQ(Msr(kMsrBank9Address), 0u);
  EXPECT_EQ(Inject(kMet), MemoryErrorResult::kTold);
}

}  // namespace
}  // namespace kvmlet
