// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/debug.h"

#include <linux/kvm.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_format.h"
#include "arch/x86_64/debug_registers.h"
#include "arch/x86_64/kvm_x86.h"
#include "arch/x86_64/paging.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr size_t kSlots = 4;
constexpr uint32_t kVectorDebug = 1;
constexpr uint32_t kVectorBreakpoint = 3;
// DR6 (SDM volume 3, 17.2.3); the other bits are not causes.
constexpr uint64_t kDr6Slots = 0xf;
constexpr uint64_t kDr6Step = 1u << 14;
constexpr uint64_t kDr6Causes = 0xe000 | kDr6Slots;
constexpr uint64_t kDr6Fixed = 0xffff0ff0;
// DR7 (17.2.4): GE and the bit that is always set.
constexpr uint64_t kDr7Base = 0x600;

uint64_t Dr7Type(BreakKind kind) {
  switch (kind) {
    case BreakKind::kExecute:
      return 0;
    case BreakKind::kWrite:
      return 1;
    case BreakKind::kRead:
    case BreakKind::kAccess:
      return 3;
  }
  return 0;
}

uint64_t Dr7Length(uint32_t length) {
  switch (length) {
    case 2:
      return 1;
    case 4:
      return 3;
    case 8:
      return 2;
    default:
      return 0;
  }
}

kvm_guest_debug ControlWord(const DebugControl& control, bool block_irq) {
  kvm_guest_debug debug{};
  if (!control.active()) return debug;
  debug.control = KVM_GUESTDBG_ENABLE;
  if (control.single_step) debug.control |= KVM_GUESTDBG_SINGLESTEP;
  if (control.software_breakpoints) debug.control |= KVM_GUESTDBG_USE_SW_BP;
  if (control.block_interrupts && block_irq) {
    debug.control |= KVM_GUESTDBG_BLOCKIRQ;
  }
  if (control.slots.empty()) return debug;
  debug.control |= KVM_GUESTDBG_USE_HW_BP;
  uint64_t dr7 = kDr7Base;
  for (size_t i = 0; i < std::min(control.slots.size(), kSlots); ++i) {
    const DebugSlot& slot = control.slots[i];
    debug.arch.debugreg[i] = slot.address;
    dr7 |= 2ull << (2 * i);
    dr7 |= Dr7Type(slot.kind) << (16 + 4 * i);
    dr7 |= Dr7Length(slot.length) << (18 + 4 * i);
  }
  debug.arch.debugreg[7] = dr7;
  return debug;
}

const char* ModeName(const kvm_sregs& sregs) {
  constexpr uint64_t kProtected = 1;
  constexpr uint64_t kLongModeActive = 1u << 10;
  if ((sregs.cr0 & kProtected) == 0) return "real mode";
  if ((sregs.efer & kLongModeActive) != 0 && sregs.cs.l != 0) return "64-bit";
  return sregs.cs.db != 0 ? "32-bit" : "16-bit";
}

const char* ActivityName(uint32_t mp_state) {
  switch (mp_state) {
    case KVM_MP_STATE_RUNNABLE:
      return "running";
    case KVM_MP_STATE_HALTED:
      return "halted";
    case KVM_MP_STATE_UNINITIALIZED:
      return "off";
    case KVM_MP_STATE_INIT_RECEIVED:
    case KVM_MP_STATE_SIPI_RECEIVED:
      return "waits for its start-up message";
    default:
      return "stopped";
  }
}

}  // namespace

X86Debug::X86Debug(const DebugCaps& caps)
    : caps_(caps),
      registers_(RegisterList()),
      description_(BuildDescription()) {}

std::span<const std::byte> X86Debug::BreakpointInstruction(
    uint64_t kind) const {
  static constexpr std::array<std::byte, 1> kInt3{std::byte{0xcc}};
  if (kind != 1) return {};
  return kInt3;
}

std::vector<DebugSlot> X86Debug::Slots(BreakKind kind, uint64_t address,
                                       uint64_t length) const {
  // There is no type for reads alone.
  if (kind == BreakKind::kRead) return {};
  if (kind == BreakKind::kExecute) {
    return {{.kind = kind, .address = address, .length = 1}};
  }
  if (length == 0 || address + length - 1 < address) return {};
  std::vector<DebugSlot> slots;
  while (length > 0 && slots.size() <= kSlots) {
    uint32_t size = 8;
    while (size > length || address % size != 0) size /= 2;
    slots.push_back({.kind = kind, .address = address, .length = size});
    address += size;
    length -= size;
  }
  if (length > 0) return {};
  return slots;
}

absl::Status X86Debug::Arm(const KvmVcpu& vcpu,
                           const DebugControl& control) const {
  return vcpu.fd().Set(kSetGuestDebug,
                       ControlWord(control, caps_.block_interrupts));
}

DebugEvent X86Debug::ReadEvent(const KvmVcpu& vcpu,
                               const DebugControl& armed) const {
  const kvm_debug_exit_arch& exit = vcpu.run().debug.arch;
  DebugEvent event{.pc = exit.pc};
  if (exit.exception == kVectorBreakpoint) {
    event.instruction = armed.software_breakpoints;
    event.guest_cause = kVectorBreakpoint;
    return event;
  }
  const uint64_t causes = exit.dr6 & kDr6Causes;
  event.step = armed.single_step && (causes & kDr6Step) != 0;
  for (size_t i = 0; i < std::min(armed.slots.size(), kSlots); ++i) {
    const DebugSlot& slot = armed.slots[i];
    if ((causes & 1ull << i) == 0) continue;
    // Older kernels leave causes of earlier exits in there.
    if (slot.kind == BreakKind::kExecute && slot.address != exit.pc) continue;
    // A watchpoint is over once it is told; a breakpoint hits again.
    const bool better =
        !event.slot || (armed.slots[*event.slot].kind == BreakKind::kExecute &&
                        slot.kind != BreakKind::kExecute);
    if (better) event.slot = i;
  }
  event.guest_cause = kVectorDebug | causes << 16;
  return event;
}

absl::Status X86Debug::Reinject(const KvmVcpu& vcpu, const DebugEvent& event,
                                const DebugControl& armed) const {
  kvm_guest_debug debug = ControlWord(armed, caps_.block_interrupts);
  if ((event.guest_cause & 0xffff) == kVectorBreakpoint) {
    debug.control |= KVM_GUESTDBG_INJECT_BP;
    return vcpu.fd().Set(kSetGuestDebug, debug);
  }
  // The injected exception carries no cause: the guest finds it in DR6.
  KVMLET_ASSIGN_OR_RETURN(kvm_debugregs registers,
                          vcpu.fd().Get(kGetDebugregs));
  registers.dr6 = (registers.dr6 & ~kDr6Slots) | kDr6Fixed |
                  (event.guest_cause >> 16 & kDr6Causes);
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetDebugregs, registers));
  debug.control |= KVM_GUESTDBG_INJECT_DB;
  return vcpu.fd().Set(kSetGuestDebug, debug);
}

absl::StatusOr<uint64_t> X86Debug::ProgramCounter(const KvmVcpu& vcpu) const {
  KVMLET_ASSIGN_OR_RETURN(const kvm_regs regs, vcpu.fd().Get(kGetRegs));
  KVMLET_ASSIGN_OR_RETURN(const kvm_sregs sregs, vcpu.fd().Get(kGetSregs));
  return sregs.cs.base + regs.rip;
}

absl::StatusOr<std::unique_ptr<AddressSpace>> X86Debug::ReadAddressSpace(
    const KvmVcpu& vcpu) const {
  KVMLET_ASSIGN_OR_RETURN(const kvm_sregs sregs, vcpu.fd().Get(kGetSregs));
  return std::make_unique<X86AddressSpace>(PagingRegisters{.cr0 = sregs.cr0,
                                                           .cr3 = sregs.cr3,
                                                           .cr4 = sregs.cr4,
                                                           .efer = sregs.efer});
}

std::string X86Debug::DescribeVcpu(const KvmVcpu& vcpu) const {
  const absl::StatusOr<kvm_sregs> sregs = vcpu.fd().Get(kGetSregs);
  const absl::StatusOr<kvm_mp_state> state = vcpu.fd().Get(kGetMpState);
  if (!sregs.ok() || !state.ok()) return "unknown";
  return absl::StrFormat("%s, %s, ring %d, cr3 %#x",
                         ActivityName(state->mp_state), ModeName(*sregs),
                         static_cast<int>(sregs->ss.dpl), sregs->cr3);
}

}  // namespace kvmlet::arch::x86_64

namespace kvmlet::arch {

absl::StatusOr<std::unique_ptr<Debug>> CreateDebug(const KvmSystem& system) {
  KVMLET_ASSIGN_OR_RETURN(const DebugCaps caps, x86_64::ProbeDebug(system));
  return std::make_unique<x86_64::X86Debug>(caps);
}

}  // namespace kvmlet::arch
