// SPDX-License-Identifier: Apache-2.0
// A vCPU's registers as the notes of a core file: the general ones and the
// SIMD ones, out of what gdb sees of them.
#include "arch/core.h"

#include <elf.h>
#include <sys/procfs.h>
#include <sys/user.h>

#include <cstring>

#include "arch/arm64/debug.h"
#include "arch/arm64/debug_registers.h"
#include "arch/arm64/kvm_arm.h"
#include "arch/arm64/paging.h"
#include "arch/common/core_note.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {
namespace {

// In gdb's order X0 to X30, SP, PC and PSTATE, V0 to V31, FPSR and FPCR, with
// nothing between them; elf_gregset_t is the same but for a PSTATE of 64 bits.
constexpr size_t kUpToPc = 33 * sizeof(uint64_t);
constexpr size_t kFloating = kUpToPc + sizeof(uint32_t);
constexpr size_t kFloatingBytes = 32 * 16 + 2 * sizeof(uint32_t);

}  // namespace

uint16_t CoreMachine() { return EM_AARCH64; }

absl::StatusOr<std::vector<CoreNote>> ReadCoreNotes(const KvmVcpu& vcpu,
                                                    uint32_t index) {
  KVMLET_ASSIGN_OR_RETURN(const std::vector<std::byte> all,
                          arm64::ReadGeneralRegisters(vcpu));
  if (all.size() != kFloating + kFloatingBytes) {
    return absl::InternalError("a core file does not know these registers");
  }
  elf_prstatus status{};
  status.pr_pid = static_cast<pid_t>(index + 1);
  status.pr_fpvalid = 1;
  static_assert(sizeof(status.pr_reg) == kUpToPc + sizeof(uint64_t));
  std::memcpy(&status.pr_reg, all.data(), kFloating);
  user_fpsimd_struct floating{};
  std::memcpy(&floating, all.data() + kFloating, kFloatingBytes);
  std::vector<CoreNote> notes;
  notes.push_back(MakeCoreNote("CORE", NT_PRSTATUS, status));
  notes.push_back(MakeCoreNote("CORE", NT_PRFPREG, floating));
  return notes;
}

absl::StatusOr<std::vector<CoreMapping>> ReadCoreMappings(
    const KvmVcpu& vcpu, const GuestMemory& memory, size_t most) {
  using namespace arm64;
  TranslationRegisters registers;
  KVMLET_ASSIGN_OR_RETURN(registers.sctlr, GetRegister(vcpu, kRegSctlr));
  KVMLET_ASSIGN_OR_RETURN(registers.tcr, GetRegister(vcpu, kRegTcr));
  KVMLET_ASSIGN_OR_RETURN(registers.ttbr0, GetRegister(vcpu, kRegTtbr0));
  KVMLET_ASSIGN_OR_RETURN(registers.ttbr1, GetRegister(vcpu, kRegTtbr1));
  return Arm64AddressSpace(registers).Mappings(memory, most);
}

}  // namespace kvmlet::arch
