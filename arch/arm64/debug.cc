// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/debug.h"

#include <linux/kvm.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_format.h"
#include "arch/arm64/debug_slots.h"
#include "arch/arm64/debug_step_rules.h"
#include "arch/arm64/kvm_arm.h"
#include "arch/arm64/paging.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::arm64 {
namespace {

constexpr std::array<size_t, 3> kExpedited{kPcNumber, kSpNumber, kFrameNumber};
// ESR_ELx.EC (D19.2.37) of the exceptions that KVM hands out.
constexpr unsigned kClassShift = 26;
constexpr uint64_t kClassBreakpoint = 0x30;
constexpr uint64_t kClassStep = 0x32;
constexpr uint64_t kClassWatchpoint = 0x34;
constexpr uint64_t kClassBkpt32 = 0x38;
constexpr uint64_t kClassBrk = 0x3c;

kvm_guest_debug ControlWord(const DebugControl& control) {
  kvm_guest_debug debug{};
  if (!control.active()) return debug;
  debug.control = KVM_GUESTDBG_ENABLE;
  if (control.single_step) debug.control |= KVM_GUESTDBG_SINGLESTEP;
  if (control.software_breakpoints) debug.control |= KVM_GUESTDBG_USE_SW_BP;
  if (control.slots.empty()) return debug;
  debug.control |= KVM_GUESTDBG_USE_HW;
  size_t breakpoints = 0;
  size_t watchpoints = 0;
  for (const DebugSlot& slot : control.slots) {
    const DebugRegisters registers = EncodeSlot(slot);
    if (slot.kind == BreakKind::kExecute) {
      if (breakpoints == KVM_ARM_MAX_DBG_REGS) continue;
      debug.arch.dbg_bcr[breakpoints] = registers.control;
      debug.arch.dbg_bvr[breakpoints++] = registers.value;
    } else {
      if (watchpoints == KVM_ARM_MAX_DBG_REGS) continue;
      debug.arch.dbg_wcr[watchpoints] = registers.control;
      debug.arch.dbg_wvr[watchpoints++] = registers.value;
    }
  }
  return debug;
}

std::optional<size_t> ExecutedAt(std::span<const DebugSlot> slots,
                                 uint64_t pc) {
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].kind == BreakKind::kExecute && slots[i].address == pc) {
      return i;
    }
  }
  return std::nullopt;
}

}  // namespace

std::span<const size_t> Arm64Debug::expedited() const { return kExpedited; }

// BRK #0; Thumb has other kinds.
std::span<const std::byte> Arm64Debug::BreakpointInstruction(
    uint64_t kind) const {
  static constexpr std::array<std::byte, 4> kBrk{
      std::byte{0x00}, std::byte{0x00}, std::byte{0x20}, std::byte{0xd4}};
  if (kind != kBrk.size()) return {};
  return kBrk;
}

std::vector<DebugSlot> Arm64Debug::Slots(BreakKind kind, uint64_t address,
                                         uint64_t length) const {
  return CutSlots(kind, address, length, caps_.watch_slots);
}

absl::Status Arm64Debug::Arm(const KvmVcpu& vcpu,
                             const DebugControl& control) const {
  return vcpu.fd().Set(kSetGuestDebug, ControlWord(control));
}

DebugEvent Arm64Debug::ReadEvent(const KvmVcpu& vcpu,
                                 const DebugControl& armed) const {
  const kvm_debug_exit_arch& exit = vcpu.run().debug.arch;
  DebugEvent event{.pc = ProgramCounter(vcpu).value_or(0),
                   .guest_cause = exit.hsr};
  switch (exit.hsr >> kClassShift) {
    case kClassStep:
      event.step = armed.single_step;
      break;
    case kClassBreakpoint:
      event.slot = ExecutedAt(armed.slots, event.pc);
      break;
    case kClassWatchpoint:
      event.slot = WatchedBy(armed.slots, exit.far);
      break;
    case kClassBrk:
    case kClassBkpt32:
      event.instruction = armed.software_breakpoints;
      break;
    default:
      break;
  }
  return event;
}

absl::Status Arm64Debug::Reinject(const KvmVcpu& vcpu, const DebugEvent& event,
                                  const DebugControl&) const {
  ExceptionState state;
  struct Part {
    uint64_t id;
    uint64_t* value;
  };
  const Part kParts[] = {
      {kRegPc, &state.pc},       {kRegPstate, &state.pstate},
      {kRegElrEl1, &state.elr},  {kRegSpsrEl1, &state.spsr},
      {kRegEsr, &state.esr},     {kRegVbar, &state.vbar},
      {kRegSctlr, &state.sctlr},
  };
  for (const Part& part : kParts) {
    KVMLET_ASSIGN_OR_RETURN(*part.value, GetRegister(vcpu, part.id));
  }
  // The syndrome is the same at every exception level.
  state = EnterException(state, event.guest_cause);
  for (const Part& part : kParts) {
    if (part.id == kRegVbar || part.id == kRegSctlr) continue;
    KVMLET_RETURN_IF_ERROR(SetRegister(vcpu, part.id, *part.value));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Arm64Debug::ProgramCounter(const KvmVcpu& vcpu) const {
  return GetRegister(vcpu, kRegPc);
}

absl::StatusOr<std::unique_ptr<AddressSpace>> Arm64Debug::ReadAddressSpace(
    const KvmVcpu& vcpu) const {
  TranslationRegisters registers;
  KVMLET_ASSIGN_OR_RETURN(registers.sctlr, GetRegister(vcpu, kRegSctlr));
  KVMLET_ASSIGN_OR_RETURN(registers.tcr, GetRegister(vcpu, kRegTcr));
  KVMLET_ASSIGN_OR_RETURN(registers.ttbr0, GetRegister(vcpu, kRegTtbr0));
  KVMLET_ASSIGN_OR_RETURN(registers.ttbr1, GetRegister(vcpu, kRegTtbr1));
  return std::make_unique<Arm64AddressSpace>(registers);
}

std::string Arm64Debug::DescribeVcpu(const KvmVcpu& vcpu) const {
  kvm_mp_state state{};
  const absl::StatusOr<uint64_t> pstate = GetRegister(vcpu, kRegPstate);
  const absl::StatusOr<uint64_t> tables = GetRegister(vcpu, kRegTtbr0);
  if (!vcpu.fd().Get(kGetMpState, state).ok() || !pstate.ok() || !tables.ok()) {
    return "unknown";
  }
  if (state.mp_state == KVM_MP_STATE_STOPPED) return "off";
  return absl::StrFormat("running, EL%d%s, ttbr0 %#x",
                         static_cast<int>(*pstate >> 2 & 3),
                         (*pstate & 1 << 4) != 0 ? ", 32-bit" : "", *tables);
}

}  // namespace kvmlet::arch::arm64

namespace kvmlet::arch {

absl::StatusOr<std::unique_ptr<Debug>> CreateDebug(const KvmSystem& system) {
  KVMLET_ASSIGN_OR_RETURN(const DebugCaps caps, arm64::ProbeDebug(system));
  return std::make_unique<arm64::Arm64Debug>(caps);
}

}  // namespace kvmlet::arch
