// SPDX-License-Identifier: Apache-2.0
// One instruction at a time, by KVM's software step. Interrupts are kept out
// by the vCPU's own masks, which FinishStep puts back; an exclusive sequence
// is one step, because its reservation does not survive a stop.
#include <array>
#include <cstring>

#include "arch/arm64/debug.h"
#include "arch/arm64/debug_step_rules.h"
#include "arch/arm64/kvm_arm.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::arm64 {
namespace {

// The instructions from `pc` on, up to the first that cannot be read.
std::vector<uint32_t> ReadCode(const AddressSpace& space,
                               const GuestMemory& memory, uint64_t pc,
                               size_t count) {
  std::vector<uint32_t> code;
  while (code.size() < count) {
    const auto page = space.Translate(memory, pc + 4 * code.size());
    if (!page || page->left < sizeof(uint32_t)) break;
    const auto word = memory.Load<uint32_t>(page->at);
    if (!word) break;
    code.push_back(*word);
  }
  return code;
}

// DebugStep::saved: PSTATE above, the instruction below.
uint64_t Save(uint64_t pstate, uint32_t instruction) {
  return pstate << 32 | instruction;
}

}  // namespace

absl::StatusOr<DebugStep> Arm64Debug::BeginStep(
    const KvmVcpu& vcpu, const GuestMemory& memory,
    const DebugControl& control) const {
  DebugStep step{.control = control};
  KVMLET_ASSIGN_OR_RETURN(step.pc, GetRegister(vcpu, kRegPc));
  KVMLET_ASSIGN_OR_RETURN(const uint64_t pstate, GetRegister(vcpu, kRegPstate));
  KVMLET_ASSIGN_OR_RETURN(const auto space, ReadAddressSpace(vcpu));
  std::vector<uint32_t> code = ReadCode(*space, memory, step.pc, 1);
  step.saved = Save(pstate, code.empty() ? 0 : code[0]);
  if (control.block_interrupts) {
    step.repair = true;
    KVMLET_RETURN_IF_ERROR(
        SetRegister(vcpu, kRegPstate, pstate | kPstateInterrupts));
  }
  std::vector<uint64_t> landings;
  if (caps_.execute && StartsExclusive(step.saved & 0xffffffff)) {
    code = ReadCode(*space, memory, step.pc, kLongestExclusive);
    landings = ExclusiveLandings(step.pc, code);
  }
  if (landings.empty() || landings.size() > caps_.execute_slots) {
    step.control.single_step = true;
    return step;
  }
  // A breakpoint inside the sequence would break it as well.
  std::vector<DebugSlot>& slots = step.control.slots;
  std::erase_if(slots, [](const DebugSlot& slot) {
    return slot.kind == BreakKind::kExecute;
  });
  step.landing = slots.size();
  for (const uint64_t landing : landings) {
    slots.push_back(
        {.kind = BreakKind::kExecute, .address = landing, .length = 4});
  }
  return step;
}

absl::Status Arm64Debug::FinishStep(const KvmVcpu& vcpu, const GuestMemory&,
                                    const DebugStep& step) const {
  if (!step.repair) return absl::OkStatus();
  const uint64_t own = step.saved >> 32;
  StepEnd end;
  KVMLET_ASSIGN_OR_RETURN(end.pc, GetRegister(vcpu, kRegPc));
  KVMLET_ASSIGN_OR_RETURN(end.pstate, GetRegister(vcpu, kRegPstate));
  KVMLET_ASSIGN_OR_RETURN(end.spsr, GetRegister(vcpu, kRegSpsrEl1));
  KVMLET_ASSIGN_OR_RETURN(end.vbar, GetRegister(vcpu, kRegVbar));
  const StepRepair repair =
      RepairStep({.pc = step.pc,
                  .pstate = own,
                  .instruction = static_cast<uint32_t>(step.saved)},
                 end);
  if (repair.pstate) {
    KVMLET_RETURN_IF_ERROR(SetRegister(vcpu, kRegPstate, *repair.pstate));
  }
  if (repair.spsr) {
    KVMLET_RETURN_IF_ERROR(SetRegister(vcpu, kRegSpsrEl1, *repair.spsr));
  }
  if (!repair.reader) return absl::OkStatus();
  KVMLET_ASSIGN_OR_RETURN(const uint64_t value,
                          GetRegister(vcpu, RegX(*repair.reader)));
  return SetRegister(vcpu, RegX(*repair.reader), OwnMasks(value, own));
}

}  // namespace kvmlet::arch::arm64
