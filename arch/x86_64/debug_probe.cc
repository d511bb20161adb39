// SPDX-License-Identifier: Apache-2.0
// What KVM's documentation says about debugging is not what every KVM does:
// some never report INT3, some never see a watchpoint. Four instructions in a
// machine of their own tell.
#include <linux/kvm.h>

#include <array>

#include "arch/x86_64/debug.h"
#include "arch/x86_64/kvm_x86.h"
#include "arch/x86_64/regs.h"
#include "vmm/base/status_macros.h"
#include "vmm/kvm/kvm_vm.h"

namespace kvmlet::arch::x86_64 {
namespace {

// nop; mov %al, kData; int3; hlt
constexpr uint64_t kCode = 0x1000;
constexpr uint32_t kData = 0x800;
constexpr std::array<uint8_t, 8> kProgram{0x90, 0xa2, 0x00, 0x08,
                                          0x00, 0x00, 0xcc, 0xf4};
constexpr uint64_t kStore = kCode + 1;
constexpr uint64_t kInt3 = kCode + 6;
constexpr uint64_t kMemorySize = 0x2000;
constexpr uint32_t kSlots = 4;

absl::Status Enter(const KvmVcpu& vcpu, uint64_t rip) {
  kvm_sregs sregs{};
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetSregs, sregs));
  kvm_regs regs{};
  BootRegisters(
      {.protocol = BootProtocol::kMultiboot, .rip = Gpa{rip}, .info = Gpa{0}},
      regs, sregs);
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetSregs, sregs));
  return vcpu.fd().Set(kSetRegs, regs);
}

// Runs from `rip` until the first exit; true when that is the debug exit.
bool Stops(const KvmVcpu& vcpu, const Debug& debug, uint64_t rip,
           const DebugControl& control, uint32_t exception) {
  if (!Enter(vcpu, rip).ok() || !debug.Arm(vcpu, control).ok()) return false;
  return vcpu.Run() == 0 && vcpu.run().exit_reason == KVM_EXIT_DEBUG &&
         vcpu.run().debug.arch.exception == exception;
}

}  // namespace

absl::StatusOr<DebugCaps> ProbeDebug(const KvmSystem& system) {
  KVMLET_RETURN_IF_ERROR(
      system.Require(KVM_CAP_SET_GUEST_DEBUG, "KVM_CAP_SET_GUEST_DEBUG"));
  const RamRange range{Gpa{0}, kMemorySize};
  KVMLET_ASSIGN_OR_RETURN(const GuestMemory memory,
                          GuestMemory::Create({&range, 1}, BackingOptions{}));
  if (!memory.Store(Gpa{kCode}, kProgram)) {
    return absl::InternalError("the probe does not fit into its memory");
  }
  KVMLET_ASSIGN_OR_RETURN(const auto vm, KvmVm::Create(system));
  KVMLET_RETURN_IF_ERROR(vm->MapMemory(memory));
  KVMLET_ASSIGN_OR_RETURN(const auto vcpu, vm->CreateVcpu(0));
  DebugCaps caps{.execute_slots = kSlots, .shared_slots = true};
  const int flags = system.CheckExtension(KVM_CAP_SET_GUEST_DEBUG2);
  caps.block_interrupts = (flags & KVM_GUESTDBG_BLOCKIRQ) != 0;
  const X86Debug debug(caps);
  caps.single_step = Stops(*vcpu, debug, kCode, {.single_step = true}, 1);
  caps.execute =
      Stops(*vcpu, debug, kCode, {.slots = {{.address = kStore}}}, 1);
  caps.watch =
      Stops(*vcpu, debug, kStore,
            {.slots = {{.kind = BreakKind::kWrite, .address = kData}}}, 1);
  // Last: where it is not reported it may end this machine.
  caps.software_breakpoints =
      Stops(*vcpu, debug, kInt3, {.software_breakpoints = true}, 3);
  return caps;
}

}  // namespace kvmlet::arch::x86_64
