// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/vcpu_state.h"

#include <array>
#include <cstring>
#include <span>

#include "absl/strings/str_format.h"
#include "arch/x86_64/kvm_x86.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t kFastStrings = 1;
// Enabled, default type write-back; no range is set.
constexpr uint64_t kMtrrWriteBack = 0x806;
constexpr uint64_t kPatPowerOn = 0x0007040600070406;

struct MsrValue {
  uint32_t index;
  uint64_t value;
};

// One MSR at a time: KVM stops at the first it does not know, and this host
// may lack any of them.
absl::StatusOr<bool> SetMsr(const KvmVcpu& vcpu, MsrValue msr) {
  MsrList list(1);
  list.Add({.index = msr.index, .reserved = 0, .data = msr.value});
  KVMLET_ASSIGN_OR_RETURN(const int done,
                          vcpu.fd().Exchange(kSetMsrs, list.header()));
  return done == 1;
}

// MSRs that a guest changes and that outlive a CPU reset inside KVM.
constexpr MsrValue kResetMsrs[] = {
    {0x174, 0},       // IA32_SYSENTER_CS
    {0x175, 0},       // IA32_SYSENTER_ESP
    {0x176, 0},       // IA32_SYSENTER_EIP
    {0xc0000081, 0},  // STAR
    {0xc0000082, 0},  // LSTAR
    {0xc0000083, 0},  // CSTAR
    {0xc0000084, 0},  // FMASK
    {0xc0000102, 0},  // KERNEL_GS_BASE
    {0xc0000103, 0},  // TSC_AUX
    {0x48, 0},        // IA32_SPEC_CTRL
    {0xda0, 0},       // IA32_XSS
    {0x6e0, 0},       // IA32_TSC_DEADLINE
    {0x3b, 0},        // IA32_TSC_ADJUST
    {0x17a, 0},       // IA32_MCG_STATUS
    {0x4b564d00, 0},  // KVM wall clock
    {0x4b564d01, 0},  // KVM system time
    {0x11, 0},        // KVM wall clock, old number
    {0x12, 0},        // KVM system time, old number
    {0x4b564d02, 0},  // KVM asynchronous page faults
    {0x4b564d03, 0},  // KVM steal time
    {0x4b564d04, 0},  // KVM paravirtual end of interrupt
    {0x4b564d05, 1},  // KVM poll control
    {0x4b564d06, 0},  // KVM asynchronous page fault vector
    {kMsrPat, kPatPowerOn},
    {kMsrMiscEnable, kFastStrings},
    {kMsrMtrrDefType, kMtrrWriteBack},
    {0x10, 0},  // IA32_TIME_STAMP_COUNTER
};

void SetLvt(kvm_lapic_state& lapic, size_t offset, uint32_t delivery_mode) {
  uint32_t value = 0;
  std::memcpy(&value, lapic.regs + offset, sizeof(value));
  value = (value & ~0x10700u) | delivery_mode << 8;
  std::memcpy(lapic.regs + offset, &value, sizeof(value));
}

constexpr size_t kLvtLint0 = 0x350;
constexpr size_t kLvtLint1 = 0x360;
constexpr uint32_t kDeliverNmi = 4;
constexpr uint32_t kDeliverExtInt = 7;

absl::Status RestoreFpu(const KvmVcpu& vcpu) {
  // A zero header marks every component as in its initial state.
  XsaveArea xsave{};
  xsave.region[0] = 0x37f;   // FCW
  xsave.region[6] = 0x1f80;  // MXCSR
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetXsave, xsave));
  kvm_xcrs xcrs{};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = 1;
  // A host without XSAVE has no XCR0 either.
  vcpu.fd().Set(kSetXcrs, xcrs).IgnoreError();
  return absl::OkStatus();
}

}  // namespace

absl::Status SetUpMsrs(const KvmVcpu& vcpu, const CpuidHost& host) {
  MsrList list(4);
  const auto add = [&list](uint32_t index, uint64_t value) {
    list.Add({.index = index, .reserved = 0, .data = value});
  };
  add(kMsrMiscEnable, kFastStrings);
  add(kMsrMtrrDefType, kMtrrWriteBack);
  if (host.arch_capabilities) {
    add(kMsrArchCapabilities, *host.arch_capabilities);
  }
  if (host.perf_capabilities) {
    add(kMsrPerfCapabilities, *host.perf_capabilities);
  }
  // KVM may refuse the feature MSRs of a table that hides them: the guest
  // then cannot see them either.
  return vcpu.fd().Exchange(kSetMsrs, list.header()).status();
}

absl::Status SetUpLapicPins(const KvmVcpu& vcpu) {
  KVMLET_ASSIGN_OR_RETURN(kvm_lapic_state lapic, vcpu.fd().Get(kGetLapic));
  SetLvt(lapic, kLvtLint0, kDeliverExtInt);
  SetLvt(lapic, kLvtLint1, kDeliverNmi);
  return vcpu.fd().Set(kSetLapic, lapic);
}

absl::StatusOr<PowerOnState> ReadPowerOnState(const KvmVcpu& vcpu) {
  PowerOnState state;
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetSregs, state.sregs));
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetLapic, state.lapic));
  return state;
}

absl::Status RestorePowerOnState(const KvmVcpu& vcpu, const PowerOnState& state,
                                 const CpuidHost& host, bool bootstrap) {
  const kvm_vcpu_events events{};
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetVcpuEvents, events));
  kvm_debugregs debug{};
  debug.dr6 = 0xffff0ff0;
  debug.dr7 = 0x400;
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetDebugregs, debug));
  KVMLET_RETURN_IF_ERROR(RestoreFpu(vcpu));
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetSregs, state.sregs));
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetLapic, state.lapic));
  for (const MsrValue& msr : kResetMsrs) {
    KVMLET_RETURN_IF_ERROR(SetMsr(vcpu, msr).status());
  }
  KVMLET_RETURN_IF_ERROR(SetUpMsrs(vcpu, host));
  kvm_regs regs{};
  regs.rflags = 2;
  regs.rip = 0xfff0;
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetRegs, regs));
  const kvm_mp_state mp{
      .mp_state = static_cast<uint32_t>(
          bootstrap ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED)};
  return vcpu.fd().Set(kSetMpState, mp);
}

absl::StatusOr<std::string> DescribeRegisters(const KvmVcpu& vcpu) {
  KVMLET_ASSIGN_OR_RETURN(const kvm_regs r, vcpu.fd().Get(kGetRegs));
  KVMLET_ASSIGN_OR_RETURN(const kvm_sregs s, vcpu.fd().Get(kGetSregs));
  std::string text = absl::StrFormat(
      "RIP=%016x RFLAGS=%08x CPL=%d\n"
      "RAX=%016x RBX=%016x RCX=%016x RDX=%016x\n"
      "RSI=%016x RDI=%016x RBP=%016x RSP=%016x\n"
      "R8 =%016x R9 =%016x R10=%016x R11=%016x\n"
      "R12=%016x R13=%016x R14=%016x R15=%016x\n"
      "CR0=%08x CR2=%016x CR3=%016x CR4=%08x EFER=%x\n",
      r.rip, r.rflags, static_cast<int>(s.ss.dpl), r.rax, r.rbx, r.rcx, r.rdx,
      r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14,
      r.r15, s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
  const std::pair<const char*, const kvm_segment*> segments[] = {
      {"CS", &s.cs}, {"SS", &s.ss}, {"DS", &s.ds}, {"ES", &s.es},
      {"FS", &s.fs}, {"GS", &s.gs}, {"TR", &s.tr}};
  for (const auto& [name, segment] : segments) {
    absl::StrAppendFormat(&text, "%s=%04x base=%016x limit=%08x%s", name,
                          segment->selector, segment->base, segment->limit,
                          segment == &s.tr ? "\n" : "  ");
    if (segment == &s.ss || segment == &s.es || segment == &s.gs) {
      text.back() = '\n';
    }
  }
  absl::StrAppendFormat(&text, "GDT=%016x limit=%04x  IDT=%016x limit=%04x\n",
                        s.gdt.base, s.gdt.limit, s.idt.base, s.idt.limit);
  return text;
}

}  // namespace kvmlet::arch::x86_64
