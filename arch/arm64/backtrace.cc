// SPDX-License-Identifier: Apache-2.0
// arch/backtrace.h for arm64: the vectors tell where the kernel is.
#include "arch/backtrace.h"

#include "arch/arm64/kvm_arm.h"
#include "arch/arm64/paging.h"
#include "arch/arm64/unwind.h"
#include "arch/common/guest_view.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {
namespace {

using namespace arm64;

constexpr uint64_t kLevelMask = 0xc;  // of PSTATE: the exception level
// Each is so large; the ones against branch history are several in a row.
constexpr uint64_t kVectorsSize = 0x800;
constexpr uint64_t kHardenedVectors = 4;

absl::StatusOr<Arm64AddressSpace> ReadSpace(const KvmVcpu& vcpu,
                                            TranslationRegisters& registers) {
  KVMLET_ASSIGN_OR_RETURN(registers.sctlr, GetRegister(vcpu, kRegSctlr));
  KVMLET_ASSIGN_OR_RETURN(registers.tcr, GetRegister(vcpu, kRegTcr));
  KVMLET_ASSIGN_OR_RETURN(registers.ttbr0, GetRegister(vcpu, kRegTtbr0));
  KVMLET_ASSIGN_OR_RETURN(registers.ttbr1, GetRegister(vcpu, kRegTtbr1));
  return Arm64AddressSpace(registers);
}

class Arm64Backtracer final : public Backtracer {
 public:
  explicit Arm64Backtracer(const KernelFile* file) : file_(file) {}

  std::optional<KernelOffset> FindOffset(
      const KvmVcpu& vcpu, const GuestMemory& memory) const override;
  absl::StatusOr<Backtrace> Read(const KvmVcpu& vcpu, const GuestMemory& memory,
                                 uint64_t offset) const override;

 private:
  const KernelFile* file_;
};

std::optional<KernelOffset> Arm64Backtracer::FindOffset(
    const KvmVcpu& vcpu, const GuestMemory& memory) const {
  TranslationRegisters registers;
  const absl::StatusOr<Arm64AddressSpace> space = ReadSpace(vcpu, registers);
  const absl::StatusOr<uint64_t> vbar = GetRegister(vcpu, kRegVbar);
  if (file_ == nullptr || !space.ok() || !vbar.ok()) return std::nullopt;
  const GuestView view(*space, memory);
  const auto fits = [&](uint64_t symbol) {
    const uint64_t offset = *vbar - symbol;
    return PlausibleOffset(offset) && HasBanner(view, *file_, offset);
  };
  if (const auto at = file_->AddressOf("vectors"); at && fits(*at)) {
    return KernelOffset{.value = *vbar - *at, .source = "VBAR_EL1 is vectors"};
  }
  const auto hardened = file_->AddressOf("__bp_harden_el1_vectors");
  for (uint64_t i = 0; hardened && i < kHardenedVectors; ++i) {
    const uint64_t at = *hardened + i * kVectorsSize;
    if (!fits(at)) continue;
    return KernelOffset{.value = *vbar - at,
                        .source = "VBAR_EL1 is __bp_harden_el1_vectors"};
  }
  return std::nullopt;
}

absl::StatusOr<Backtrace> Arm64Backtracer::Read(const KvmVcpu& vcpu,
                                                const GuestMemory& memory,
                                                uint64_t /*offset*/) const {
  TranslationRegisters registers;
  KVMLET_ASSIGN_OR_RETURN(const Arm64AddressSpace space,
                          ReadSpace(vcpu, registers));
  KVMLET_ASSIGN_OR_RETURN(const uint64_t pstate, GetRegister(vcpu, kRegPstate));
  if ((pstate & kLevelMask) == 0) return Backtrace{.user = true};
  UnwindRegisters start{.tcr = registers.tcr};
  KVMLET_ASSIGN_OR_RETURN(start.pc, GetRegister(vcpu, kRegPc));
  KVMLET_ASSIGN_OR_RETURN(start.fp, GetRegister(vcpu, RegX(29)));
  KVMLET_ASSIGN_OR_RETURN(start.lr, GetRegister(vcpu, RegX(30)));
  return Unwind(GuestView(space, memory), start);
}

}  // namespace

std::unique_ptr<Backtracer> CreateBacktracer(const KernelFile* file) {
  return std::make_unique<Arm64Backtracer>(file);
}

}  // namespace kvmlet::arch
