// SPDX-License-Identifier: Apache-2.0
// arm64's half of the debugger, see arch/debug.h for the contract: BRK in
// memory, breakpoint and watchpoint registers, KVM's software step. While any
// of it is armed KVM hands out every debug exception of the guest too, so that
// the monitor enters the guest's handler in its stead.
//
// Threads: as arch/debug.h says. Specification: KVM_SET_GUEST_DEBUG in
// Documentation/virt/kvm/api.rst; Arm ARM, chapter D2 "AArch64 Self-hosted
// Debug".
#ifndef KVMLET_ARCH_ARM64_DEBUG_H_
#define KVMLET_ARCH_ARM64_DEBUG_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/arm64/debug_registers.h"
#include "arch/debug.h"

namespace kvmlet::arch::arm64 {

class Arm64Debug final : public Debug {
 public:
  explicit Arm64Debug(const DebugCaps& caps)
      : caps_(caps),
        registers_(RegisterList()),
        description_(BuildDescription()) {}

  const DebugCaps& caps() const override { return caps_; }
  std::string_view Description() const override { return description_; }
  std::span<const DebugRegister> registers() const override {
    return registers_;
  }
  size_t general_count() const override { return kGeneralRegisters; }
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

// debug_state.cc: the `g` packet's registers, one after the other.
absl::StatusOr<std::vector<std::byte>> ReadGeneralRegisters(
    const KvmVcpu& vcpu);

// debug_probe.cc: what this host's KVM does.
absl::StatusOr<DebugCaps> ProbeDebug(const KvmSystem& system);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_DEBUG_H_
