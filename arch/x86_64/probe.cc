// SPDX-License-Identifier: Apache-2.0
#include "arch/probe.h"

#include <linux/kvm.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "arch/common/run_bounded.h"
#include "arch/x86_64/kvm_x86.h"
#include "vmm/base/status_macros.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch {
namespace {

constexpr uint32_t kRounds = 10'000'000;
constexpr double kInstructionsPerRound = 2;

// dec ecx; jnz back to it; hlt. The count is in ecx from the start.
constexpr std::array<uint8_t, 5> kLoop = {0xff, 0xc9, 0x75, 0xfc, 0xf4};

constexpr Gpa kCode{0x0000};
constexpr Gpa kPml4{0x1000};
constexpr Gpa kPdpt{0x2000};
constexpr Gpa kPageDirectory{0x3000};
constexpr uint64_t kMemorySize = 0x4000;

// Intel SDM volume 3, 4.5 "4-Level Paging".
constexpr uint64_t kPresentWritable = 3;
constexpr uint64_t kLargePage = 1 << 7;
constexpr uint64_t kCr0 = 0x80000011;         // PG, ET, PE
constexpr uint64_t kCr4 = 1 << 5;             // PAE
constexpr uint64_t kEfer = 1 << 8 | 1 << 10;  // LME, LMA

absl::StatusOr<GuestMemory> MakeMemory() {
  const RamRange range{Gpa{0}, kMemorySize};
  KVMLET_ASSIGN_OR_RETURN(GuestMemory memory,
                          GuestMemory::Create({&range, 1}, BackingOptions{}));
  // One 2 MiB page maps the code where it is.
  if (!memory.Store(kCode, kLoop) ||
      !memory.Store(kPml4, kPdpt.value | kPresentWritable) ||
      !memory.Store(kPdpt, kPageDirectory.value | kPresentWritable) ||
      !memory.Store(kPageDirectory, kPresentWritable | kLargePage)) {
    return absl::InternalError("the probe does not fit into its memory");
  }
  return memory;
}

kvm_segment FlatSegment(uint16_t selector, uint8_t type, bool code) {
  kvm_segment segment{};
  segment.limit = UINT32_MAX;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  segment.l = code ? 1 : 0;
  segment.db = code ? 0 : 1;
  return segment;
}

// 64-bit kernel mode at the loop, as Linux runs.
absl::Status SetRegisters(const KvmVcpu& vcpu) {
  KVMLET_ASSIGN_OR_RETURN(kvm_sregs sregs, vcpu.fd().Get(x86_64::kGetSregs));
  sregs.cs = FlatSegment(0x08, 11, true);
  sregs.ss = sregs.ds = sregs.es = FlatSegment(0x10, 3, false);
  sregs.fs = sregs.gs = sregs.ss;
  sregs.cr0 = kCr0;
  sregs.cr3 = kPml4.value;
  sregs.cr4 = kCr4;
  sregs.efer = kEfer;
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(x86_64::kSetSregs, sregs));
  kvm_regs regs{};
  regs.rip = kCode.value;
  regs.rcx = kRounds;
  regs.rflags = 2;
  return vcpu.fd().Set(x86_64::kSetRegs, regs);
}

}  // namespace

std::span<const KvmCapability> SpecificCapabilities() {
  static constexpr KvmCapability kCapabilities[] = {
      {KVM_CAP_EXT_CPUID, "EXT_CPUID", "the guest sees a processor", true},
      {KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR", "the guest starts in real mode",
       true},
      {KVM_CAP_PIT2, "PIT2", "timer of the first moments of a boot", true},
      {KVM_CAP_TSC_DEADLINE_TIMER, "TSC_DEADLINE_TIMER", "cheap timers", false},
      {KVM_CAP_X2APIC_API, "X2APIC_API", "more than 255 vCPUs", false},
      {KVM_CAP_XCRS, "XCRS", "vector registers beyond SSE", false},
      {KVM_CAP_MCE, "MCE", "memory errors reach the guest", false,
       "use a kernel with CONFIG_X86_MCE"},
  };
  return kCapabilities;
}

std::string_view IommuRemedy() {
  return "switch the IOMMU on in the firmware (VT-d, AMD-Vi), Intel's also "
         "with intel_iommu=on on the kernel's command line";
}

absl::StatusOr<double> GuestInstructionsPerSecond(
    const KvmSystem& system, std::chrono::milliseconds budget) {
  KVMLET_ASSIGN_OR_RETURN(const GuestMemory memory, MakeMemory());
  KVMLET_ASSIGN_OR_RETURN(const std::unique_ptr<KvmVm> vm,
                          KvmVm::Create(system));
  KVMLET_RETURN_IF_ERROR(vm->MapMemory(memory));
  KVMLET_ASSIGN_OR_RETURN(const std::unique_ptr<KvmVcpu> vcpu,
                          vm->CreateVcpu(0));
  KVMLET_RETURN_IF_ERROR(SetRegisters(*vcpu));
  const BoundedRun run = RunBounded(*vcpu, budget);
  if (run.error != EINTR &&
      (run.error != 0 || vcpu->run().exit_reason != KVM_EXIT_HLT)) {
    return absl::UnavailableError(
        absl::StrCat("KVM could not run a loop of two instructions: errno ",
                     run.error, ", exit reason ", vcpu->run().exit_reason));
  }
  KVMLET_ASSIGN_OR_RETURN(const kvm_regs regs,
                          vcpu->fd().Get(x86_64::kGetRegs));
  const double rounds = kRounds - static_cast<double>(regs.rcx & UINT32_MAX);
  return rounds * kInstructionsPerRound / run.took.count();
}

}  // namespace kvmlet::arch
