// SPDX-License-Identifier: Apache-2.0
// A vCPU about to run a piece of debug_guest_x86_64.S in 64-bit, compatibility
// or real mode, with tables, an interrupt table and system calls of its own,
// under the debugger's code. What KVM cannot do is skipped by its own probe, or
// because the guest does not get through without a debugger either.
#ifndef KVMLET_TESTS_KVM_DEBUG_X86_64_FIXTURE_H_
#define KVMLET_TESTS_KVM_DEBUG_X86_64_FIXTURE_H_

#include <linux/kvm.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "arch/x86_64/cpuid.h"
#include "arch/x86_64/kvm_x86.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/regs.h"
#include "tests/kvm/debug_guest_x86_64.h"
#include "tests/kvm/debugged_vcpu.h"
#include "tests/kvm/guest_fixture.h"

// The labels of debug_guest_x86_64.S.
extern "C" {
extern const char debug_guest[], debug_guest_end[], dg_through[], dg_wrong[];
extern const char dg_entry0[], dg_on_debug[], dg_on_int3[], dg_on_interrupt[];
extern const char dg_on_page_fault[];
}

namespace kvmlet {

class X86DebugTest : public GuestTest {
 protected:
  using End = DebuggedVcpu::Outcome::End;
  using Reason = VcpuStop::Reason;
  enum class Mode { kLong, kCompat, kReal };

  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(DEBUG_GUEST_UNCLAIMED, GuestCode::kUnclaimed);
    vcpu_ = *vm_->CreateVcpu(0);
    arch::x86_64::CpuidTable table = *arch::x86_64::QueryCpuid(*system_);
    arch::x86_64::CpuidList list(table.size());
    for (const kvm_cpuid_entry2& entry : table) list.Add(entry);
    ASSERT_TRUE(vcpu_->fd().Set(arch::x86_64::kSetCpuid2, list.header()).ok());
    WriteMemory();
    debugged_.emplace(*vcpu_, *memory_);
  }
  static const arch::DebugCaps& caps() { return ProbedDebug().caps(); }
  static uint64_t At(const char* label) {
    return DEBUG_GUEST_CODE + static_cast<uint64_t>(label - debug_guest);
  }
  static uint64_t RealAt(const char* label) {
    return At(label) - DEBUG_GUEST_CODE + DEBUG_GUEST_REAL_CODE;
  }

  // Everything but the code's and the tables' memory as at the start.
  void Start(const char* label, Mode mode = Mode::kLong) {
    ASSERT_TRUE(
        memory_->Store(Gpa{DEBUG_GUEST_DATA}, std::array<uint64_t, 64>{}));
    kvm_sregs sregs = *vcpu_->fd().Get(arch::x86_64::kGetSregs);
    if (!reset_) reset_ = sregs;
    sregs = *reset_;
    kvm_regs regs{};
    arch::x86_64::BootRegisters(
        {.protocol = arch::x86_64::BootProtocol::kLinux64,
         .rip = Gpa{At(label)},
         .info = Gpa{0}},
        regs, sregs);
    sregs.gdt.base = kGdt;
    sregs.gdt.limit = 8 * 8 - 1;
    sregs.idt.base = kIdt;
    sregs.idt.limit = 256 * 16 - 1;
    sregs.efer |= 1;  // SYSCALL
    regs.rsp = kStack;
    if (mode == Mode::kCompat) {
      sregs.cs.selector = DEBUG_GUEST_COMPAT_SELECTOR;
      sregs.cs.l = 0;
      sregs.cs.db = 1;
    } else if (mode == Mode::kReal) {
      sregs = *reset_;
      sregs.cs.selector = DEBUG_GUEST_REAL_CODE >> 4;
      sregs.cs.base = DEBUG_GUEST_REAL_CODE;
      regs.rip = RealAt(label) - DEBUG_GUEST_REAL_CODE;
    }
    ASSERT_TRUE(vcpu_->fd().Set(arch::x86_64::kSetSregs, sregs).ok());
    ASSERT_TRUE(vcpu_->fd().Set(arch::x86_64::kSetRegs, regs).ok());
    const kvm_mp_state runnable{.mp_state = KVM_MP_STATE_RUNNABLE};
    ASSERT_TRUE(vcpu_->fd().Set(arch::x86_64::kSetMpState, runnable).ok());
    SetSystemCalls();
  }
  // Starts there, if the guest gets through from there without a debugger;
  // otherwise the test is skipped.
  void StartIfItRuns(const char* label, Mode mode = Mode::kLong) {
    // Of these instructions an emulator's KVM loses the steps as well.
    if (!caps().watch) {
      GTEST_SKIP() << "this KVM emulates the guest: it reports no watchpoints";
    }
    Start(label, mode);
    const DebuggedVcpu::Outcome outcome = debugged_->RunUndebugged();
    if (outcome.end != End::kDone) {
      GTEST_SKIP() << "this KVM does not run such a guest undebugged: "
                   << outcome;
    }
    Start(label, mode);
  }
  // One step each; where it leads.
  void ExpectSteps(const std::vector<const char*>& labels) {
    for (const char* label : labels) {
      const DebuggedVcpu::Outcome outcome = debugged_->Step();
      ASSERT_EQ(outcome.end, End::kStop) << outcome;
      ASSERT_EQ(outcome.stop.pc, At(label)) << outcome;
      ASSERT_EQ(outcome.stop.reason, Reason::kStep);
    }
  }
  void RunTo(const char* label) {
    ASSERT_TRUE(debugged_->Insert(BreakpointType::kHardware, At(label), 1));
    ExpectStop(Reason::kHardware, label);
    debugged_->RemoveAll();
  }
  void ExpectStop(Reason reason, const char* label) {
    const DebuggedVcpu::Outcome outcome = debugged_->Continue();
    ASSERT_EQ(outcome.end, End::kStop) << outcome;
    ASSERT_EQ(outcome.stop.pc, At(label)) << outcome;
    ASSERT_EQ(outcome.stop.reason, reason);
  }
  void ExpectThrough() {
    const DebuggedVcpu::Outcome outcome = debugged_->Continue();
    ASSERT_EQ(outcome.end, End::kDone) << outcome;
  }
  uint64_t Memory(uint64_t address) const {
    return *memory_->Load<uint64_t>(Gpa{address});
  }
  kvm_regs Registers() const {
    return *vcpu_->fd().Get(arch::x86_64::kGetRegs);
  }

  std::unique_ptr<KvmVcpu> vcpu_;
  std::optional<DebuggedVcpu> debugged_;

 private:
  static constexpr uint64_t kGdt = 0x4000;
  static constexpr uint64_t kIdt = 0x5000;
  static constexpr uint64_t kStack = 0x80000;

  void WriteMemory() {
    const auto code = std::as_bytes(std::span(
        debug_guest, static_cast<size_t>(debug_guest_end - debug_guest)));
    ASSERT_TRUE(memory_->Write(Gpa{DEBUG_GUEST_CODE}, code));
    ASSERT_TRUE(memory_->Write(Gpa{DEBUG_GUEST_REAL_CODE}, code));
    // Null, null, code, data, 32-bit code, then data and code of ring 3.
    const std::array<uint64_t, 8> gdt{0,
                                      0,
                                      0x00af9b000000ffff,
                                      0x00cf93000000ffff,
                                      0x00cf9b000000ffff,
                                      0x00cff3000000ffff,
                                      0x00affb000000ffff,
                                      0};
    ASSERT_TRUE(memory_->Store(Gpa{kGdt}, gdt));
    std::vector<uint64_t> tables = arch::x86_64::BuildBootPageTables();
    constexpr uint64_t kUser = 4;
    for (uint64_t& entry : tables) {
      if (entry != 0) entry |= kUser;
    }
    ASSERT_TRUE(memory_->Write(Gpa{arch::x86_64::kBootPageTables},
                               std::as_bytes(std::span(tables))));
    for (uint64_t vector = 0; vector < 256; ++vector) {
      SetGate(vector, At(dg_wrong));
    }
    SetGate(1, At(dg_on_debug));
    SetGate(3, At(dg_on_int3));
    SetGate(14, At(dg_on_page_fault));
    SetGate(0x80, At(dg_on_interrupt));
  }
  void SetGate(uint64_t vector, uint64_t handler) {
    const std::array<uint64_t, 2> gate{
        (handler & 0xffff) | DEBUG_GUEST_CODE_SELECTOR << 16 | 0x8eull << 40 |
            (handler >> 16 & 0xffff) << 48,
        handler >> 32};
    ASSERT_TRUE(memory_->Store(Gpa{kIdt + 16 * vector}, gate));
  }
  void SetSystemCalls() {
    constexpr uint64_t kStar = uint64_t{DEBUG_GUEST_COMPAT_SELECTOR | 3} << 48 |
                               uint64_t{DEBUG_GUEST_CODE_SELECTOR} << 32;
    arch::x86_64::MsrList list(3);
    list.Add({.index = 0xc0000081, .reserved = 0, .data = kStar});
    list.Add({.index = 0xc0000082, .reserved = 0, .data = At(dg_entry0)});
    list.Add({.index = 0xc0000084, .reserved = 0, .data = 0x100});
    const auto done =
        vcpu_->fd().Exchange(arch::x86_64::kSetMsrs, list.header());
    ASSERT_TRUE(done.ok() && *done == 3) << done.status();
  }

  std::optional<kvm_sregs> reset_;
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_KVM_DEBUG_X86_64_FIXTURE_H_
