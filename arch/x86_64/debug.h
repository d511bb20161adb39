// SPDX-License-Identifier: Apache-2.0
// x86-64's half of the debugger, see arch/debug.h for the contract: four debug
// registers for breakpoints and watchpoints alike, the trap flag for steps,
// and the instructions that a trap flag does not survive.
//
// Threads: as arch/debug.h says. Specification: Intel SDM volume 3, chapter 17
// "Debug, Branch Profile, TSC"; KVM_SET_GUEST_DEBUG in
// Documentation/virt/kvm/api.rst.
#ifndef KVMLET_ARCH_X86_64_DEBUG_H_
#define KVMLET_ARCH_X86_64_DEBUG_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/debug.h"

namespace kvmlet::arch::x86_64 {

class X86Debug final : public Debug {
 public:
  explicit X86Debug(const DebugCaps& caps);

  const DebugCaps& caps() const override { return caps_; }
  std::string_view Description() const override { return description_; }
  std::span<const DebugRegister> registers() const override {
    return registers_;
  }
  size_t general_count() const override;
  std::span<const size_t> expedited() const override;
  absl::StatusOr<std::vector<std::byte>> ReadGeneral(
      const KvmVcpu& vcpu) const override;
  absl::Status WriteGeneral(const KvmVcpu& vcpu,
                            std::span<const std::byte> value) const override;
  absl::StatusOr<std::vector<std::byte>> ReadRegister(
      const KvmVcpu& vcpu, size_t number) const override;
  absl::Status WriteRegister(const KvmVcpu& vcpu, size_t number,
                             std::span<const std::byte> value) const override;
  absl::StatusOr<uint64_t> ProgramCounter(const KvmVcpu& vcpu) const override;
  absl::StatusOr<std::unique_ptr<AddressSpace>> ReadAddressSpace(
      const KvmVcpu& vcpu) const override;
  std::string DescribeVcpu(const KvmVcpu& vcpu) const override;

  std::span<const std::byte> BreakpointInstruction(
      uint64_t kind) const override;
  std::vector<DebugSlot> Slots(BreakKind kind, uint64_t address,
                               uint64_t length) const override;
  absl::Status Arm(const KvmVcpu& vcpu,
                   const DebugControl& control) const override;
  absl::StatusOr<DebugStep> BeginStep(
      const KvmVcpu& vcpu, const GuestMemory& memory,
      const DebugControl& control) const override;
  absl::Status FinishStep(const KvmVcpu& vcpu, const GuestMemory& memory,
                          const DebugStep& step) const override;
  DebugEvent ReadEvent(const KvmVcpu& vcpu,
                       const DebugControl& armed) const override;
  absl::Status Reinject(const KvmVcpu& vcpu, const DebugEvent& event,
                        const DebugControl& armed) const override;

 private:
  const DebugCaps caps_;
  const std::vector<DebugRegister> registers_;
  const std::string description_;
};

// debug_probe.cc: what this host's KVM does.
absl::StatusOr<DebugCaps> ProbeDebug(const KvmSystem& system);

// debug_description.cc: gdb's target description, from debug_registers.h.
std::string BuildDescription();

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_DEBUG_H_
