// SPDX-License-Identifier: Apache-2.0
// How an x86 guest hears of memory that the host has lost: machine checks in
// the banks that KVM keeps for each vCPU, in the words of the processor that
// the guest believes to have. A vCPU is told only what it can take: a machine
// check that it masks, or that comes in the handler of another, would be a
// triple fault.
//
// Threads: everything that takes a vCPU on that vCPU's thread, or before it
// runs; the rest is pure. Errors are KVM's refusals. Specification: Intel SDM
// volume 3, "Machine-Check Architecture" and "Recovery of Uncorrected
// Recoverable Errors"; AMD APM volume 2, chapter 9.
#ifndef KVMLET_ARCH_X86_64_MACHINE_CHECK_H_
#define KVMLET_ARCH_X86_64_MACHINE_CHECK_H_

#include <linux/kvm.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/arch.h"
#include "arch/x86_64/cpuid.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/memory/memory_error.h"

namespace kvmlet::arch::x86_64 {

// What the guest's processor does with memory errors.
struct MachineCheckModel {
  bool amd = false;
  // Every processor takes the machine check of any, until the guest asks for
  // local ones, where this KVM has them.
  bool broadcast = false;
  bool local = false;
  uint64_t capabilities = 0;  // IA32_MCG_CAP; 0: this KVM cannot recover
};
MachineCheckModel MachineCheckModelOf(const CpuidTable& table,
                                      uint64_t supported);
// KVM_X86_GET_MCE_CAP_SUPPORTED, 0 where there is none.
uint64_t QueryMachineCheckCapabilities(const KvmSystem& system);

// What the error is to such a processor. Local: no other hears of it.
kvm_x86_mce MachineCheckOf(const MemoryError& error, bool amd,
                           bool local = false);
// What the others hear of it where all of them do.
kvm_x86_mce BroadcastMachineCheck();

// Whether a vCPU can take a machine check now.
enum class MachineCheckState {
  kReady,
  kMasked,   // CR4.MCE is clear, or it waits for its start
  kPending,  // one is about to be taken
  kBusy,     // one is being handled
};
MachineCheckState MachineCheckStateOf(uint64_t cr4, uint64_t mcg_status,
                                      const kvm_vcpu_events& events,
                                      const kvm_mp_state& mp);

// The guest of this vCPU has asked for local machine checks
// (IA32_MCG_EXT_CTL), so that the others shall not hear of its.
bool TakesLocalMachineChecks(const MachineCheckModel& model,
                             uint64_t mcg_ext_ctl);
bool TakesLocalMachineChecks(const MachineCheckModel& model,
                             const KvmVcpu& vcpu);

// Before the vCPU first runs.
absl::Status SetUpMachineChecks(const KvmVcpu& vcpu,
                                const MachineCheckModel& model);
// The banks at power-on.
absl::Status ResetMachineChecks(const KvmVcpu& vcpu,
                                const MachineCheckModel& model);
// The contract of Platform::InjectMemoryError; the others of a vCPU that takes
// local machine checks are not to be asked.
absl::StatusOr<MemoryErrorResult> InjectMachineCheck(
    const KvmVcpu& vcpu, const MachineCheckModel& model,
    const MemoryError& error, bool own);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_MACHINE_CHECK_H_
