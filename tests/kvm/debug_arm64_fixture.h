// SPDX-License-Identifier: Apache-2.0
// A vCPU about to run a piece of debug_guest_arm64.S at EL1, its memory mapped
// onto itself, under the debugger's code.
#ifndef KVMLET_TESTS_KVM_DEBUG_ARM64_FIXTURE_H_
#define KVMLET_TESTS_KVM_DEBUG_ARM64_FIXTURE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "arch/arm64/kvm_arm.h"
#include "tests/kvm/debugged_vcpu.h"
#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvm_required.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/memory/guest_memory.h"

// The labels of debug_guest_arm64.S.
extern "C" {
extern const char debug_guest[], debug_guest_end[], dg_vectors[];
}

namespace kvmlet {

class Arm64DebugTest : public KvmRequired {
 protected:
  using End = DebuggedVcpu::Outcome::End;
  using Reason = VcpuStop::Reason;
  static constexpr uint64_t kMemory = 0x40000000;
  static constexpr uint64_t kData = kMemory + 0x101000;

  void SetUp() override {
    KvmRequired::SetUp();
    if (IsSkipped()) return;
    system_.emplace(*KvmSystem::Open());
    const std::array<RamRange, 1> ranges{RamRange{Gpa{kMemory}, 4 << 20}};
    memory_.emplace(*GuestMemory::Create(ranges, {}));
    vm_ = *KvmVm::Create(*system_);
    ASSERT_TRUE(vm_->MapMemory(*memory_).ok());
    vcpu_ = *vm_->CreateVcpu(0);
    const kvm_vcpu_init init = *vm_->fd().Get(arch::arm64::kPreferredTarget);
    ASSERT_TRUE(vcpu_->fd().Set(arch::arm64::kVcpuInit, init).ok());
    const auto code = std::as_bytes(std::span(
        debug_guest, static_cast<size_t>(debug_guest_end - debug_guest)));
    ASSERT_TRUE(memory_->Write(Gpa{kCode}, code));
    // One level of 1 GiB blocks: devices, then memory (D8.3).
    constexpr uint64_t kBlock = 1 | 1 << 10;
    constexpr uint64_t kInner = 3 << 8;
    constexpr uint64_t kNormal = 1 << 2;
    const std::array<uint64_t, 2> table{kBlock,
                                        kMemory | kBlock | kInner | kNormal};
    ASSERT_TRUE(memory_->Store(Gpa{kTable}, table));
    debugged_.emplace(*vcpu_, *memory_);
  }
  static const arch::DebugCaps& caps() { return ProbedDebug().caps(); }
  static uint64_t At(const char* label) {
    return kCode + static_cast<uint64_t>(label - debug_guest);
  }

  void Start(const char* label) {
    using namespace arch::arm64;
    constexpr uint64_t kRegMair = SystemRegister(3, 0, 10, 2, 0);
    constexpr uint64_t kMair = 0xff << 8;  // 0: device, 1: write-back
    // 39 bits below, none above; 4 KiB; cached tables (D19.2, TCR_EL1).
    constexpr uint64_t kTcr = 25 | 25 << 16 | 1 << 8 | 1 << 10 | 3 << 12 |
                              1ull << 23 | 2ull << 30 | 2ull << 32;
    constexpr uint64_t kSctlr = 0x30d00985 | 1 << 12;  // MMU and caches
    Set(kRegMair, kMair);
    Set(kRegTcr, kTcr);
    Set(kRegTtbr0, kTable);
    Set(kRegVbar, At(dg_vectors));
    Set(kRegSctlr, kSctlr);
    for (size_t i = 0; i < 31; ++i) Set(RegX(i), 0);
    Set(RegX(0), kData);
    Set(RegX(1), GuestCode::kUnclaimed);
    Set(kRegPstate, kPstateAtBoot);
    Set(kRegPc, At(label));
    ASSERT_TRUE(memory_->Store(Gpa{kData - 64}, std::array<uint64_t, 64>{}));
  }
  void ExpectStep(uint64_t pc) {
    const DebuggedVcpu::Outcome outcome = debugged_->Step();
    ASSERT_EQ(outcome.end, End::kStop) << outcome;
    ASSERT_EQ(outcome.stop.pc, pc) << outcome;
    ASSERT_EQ(outcome.stop.reason, Reason::kStep);
  }
  void ExpectSteps(const std::vector<const char*>& labels) {
    for (const char* label : labels) ExpectStep(At(label));
  }
  void ExpectStop(Reason reason, uint64_t pc) {
    const DebuggedVcpu::Outcome outcome = debugged_->Continue();
    ASSERT_EQ(outcome.end, End::kStop) << outcome;
    ASSERT_EQ(outcome.stop.pc, pc) << outcome;
    ASSERT_EQ(outcome.stop.reason, reason);
  }
  void ExpectThrough() {
    const DebuggedVcpu::Outcome outcome = debugged_->Continue();
    ASSERT_EQ(outcome.end, End::kDone) << outcome;
  }
  uint64_t X(size_t number) const {
    return *arch::arm64::GetRegister(*vcpu_, arch::arm64::RegX(number));
  }
  void Set(uint64_t id, uint64_t value) {
    const absl::Status status = arch::arm64::SetRegister(*vcpu_, id, value);
    ASSERT_TRUE(status.ok()) << status;
  }

  std::optional<KvmSystem> system_;
  std::optional<GuestMemory> memory_;
  std::unique_ptr<KvmVm> vm_;
  std::unique_ptr<KvmVcpu> vcpu_;
  std::optional<DebuggedVcpu> debugged_;

 private:
  static constexpr uint64_t kCode = kMemory + 0x80000;
  static constexpr uint64_t kTable = kMemory + 0x10000;
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_KVM_DEBUG_ARM64_FIXTURE_H_
