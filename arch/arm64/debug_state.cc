// SPDX-License-Identifier: Apache-2.0
// Reads and writes gdb's registers through KVM's requests.
#include <linux/kvm.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "arch/arm64/debug.h"
#include "arch/arm64/kvm_arm.h"
#include "arch/arm64/unwind.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint64_t kOwnStack = 1;  // PSTATE.SP
constexpr size_t kVectorBytes = 16;

constexpr uint64_t CoreId(uint64_t size, size_t offset) {
  return KVM_REG_ARM64 | size | KVM_REG_ARM_CORE | offset / sizeof(uint32_t);
}
// SVE's registers take the place of the SIMD ones where a vCPU has them.
constexpr uint64_t ZId(size_t n) {
  return KVM_REG_ARM64 | KVM_REG_ARM64_SVE | KVM_REG_SIZE_U2048 |
         static_cast<uint64_t>(n) << 5;
}
constexpr size_t kZBytes = 256;

absl::Status Transfer(const KvmVcpu& vcpu, const KvmSet<kvm_one_reg>& request,
                      uint64_t id, std::byte* at) {
  const kvm_one_reg reg{.id = id, .addr = reinterpret_cast<uint64_t>(at)};
  return vcpu.fd().Set(request, reg);
}

uint64_t VectorId(size_t n) {
  return CoreId(KVM_REG_SIZE_U128,
                offsetof(kvm_regs, fp_regs.vregs) + n * kVectorBytes);
}

absl::Status ReadVector(const KvmVcpu& vcpu, size_t n, std::byte* out) {
  if (Transfer(vcpu, kGetOneReg, VectorId(n), out).ok()) {
    return absl::OkStatus();
  }
  std::array<std::byte, kZBytes> whole{};
  KVMLET_RETURN_IF_ERROR(Transfer(vcpu, kGetOneReg, ZId(n), whole.data()));
  std::ranges::copy_n(whole.begin(), kVectorBytes, out);
  return absl::OkStatus();
}

absl::Status WriteVector(const KvmVcpu& vcpu, size_t n, const std::byte* in) {
  std::array<std::byte, kZBytes> whole{};
  std::ranges::copy_n(in, kVectorBytes, whole.begin());
  if (Transfer(vcpu, kSetOneReg, VectorId(n), whole.data()).ok()) {
    return absl::OkStatus();
  }
  KVMLET_RETURN_IF_ERROR(Transfer(vcpu, kGetOneReg, ZId(n), whole.data()));
  std::ranges::copy_n(in, kVectorBytes, whole.begin());
  return Transfer(vcpu, kSetOneReg, ZId(n), whole.data());
}

// KVM's number of a register that is not a vector.
absl::StatusOr<uint64_t> IdOf(const KvmVcpu& vcpu, const RegisterSpec& spec) {
  switch (spec.home) {
    case RegisterHome::kX:
      return RegX(spec.where);
    case RegisterHome::kStack: {
      KVMLET_ASSIGN_OR_RETURN(const uint64_t pstate,
                              GetRegister(vcpu, kRegPstate));
      return (pstate & kOwnStack) != 0 ? kRegSpEl1 : kRegSp;
    }
    case RegisterHome::kPc:
      return kRegPc;
    case RegisterHome::kPstate:
      return kRegPstate;
    case RegisterHome::kFpsr:
      return CoreId(KVM_REG_SIZE_U32, offsetof(kvm_regs, fp_regs.fpsr));
    case RegisterHome::kFpcr:
      return CoreId(KVM_REG_SIZE_U32, offsetof(kvm_regs, fp_regs.fpcr));
    case RegisterHome::kSpEl0:
      return kRegSp;
    case RegisterHome::kSpEl1:
      return kRegSpEl1;
    case RegisterHome::kElr:
      return kRegElrEl1;
    case RegisterHome::kSpsr:
      return kRegSpsrEl1;
    case RegisterHome::kSystem:
      return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG |
             spec.where;
    case RegisterHome::kVector:
    case RegisterHome::kSignature:
      break;
  }
  return absl::NotFoundError("no such register");
}

absl::Status Read(const KvmVcpu& vcpu, const RegisterSpec& spec,
                  std::span<std::byte> out) {
  if (spec.home == RegisterHome::kVector) {
    return ReadVector(vcpu, spec.where, out.data());
  }
  if (spec.home == RegisterHome::kSignature) {
    KVMLET_ASSIGN_OR_RETURN(const uint64_t tcr, GetRegister(vcpu, kRegTcr));
    const uint64_t mask = SignatureMask(spec.where != 0, tcr);
    std::memcpy(out.data(), &mask, out.size());
    return absl::OkStatus();
  }
  KVMLET_ASSIGN_OR_RETURN(const uint64_t id, IdOf(vcpu, spec));
  std::array<std::byte, 8> value{};
  KVMLET_RETURN_IF_ERROR(Transfer(vcpu, kGetOneReg, id, value.data()));
  std::ranges::copy_n(value.begin(), static_cast<ptrdiff_t>(out.size()),
                      out.begin());
  return absl::OkStatus();
}

absl::Status Write(const KvmVcpu& vcpu, const RegisterSpec& spec,
                   std::span<const std::byte> in) {
  if (spec.home == RegisterHome::kVector) {
    return WriteVector(vcpu, spec.where, in.data());
  }
  KVMLET_ASSIGN_OR_RETURN(const uint64_t id, IdOf(vcpu, spec));
  std::array<std::byte, 8> value{};
  std::ranges::copy(in, value.begin());
  return Transfer(vcpu, kSetOneReg, id, value.data());
}

const RegisterSpec* SpecOf(size_t number) {
  if (number >= RegisterTable().size()) return nullptr;
  return &RegisterTable()[number];
}

}  // namespace

absl::StatusOr<std::vector<std::byte>> ReadGeneralRegisters(
    const KvmVcpu& vcpu) {
  std::vector<std::byte> out;
  for (const RegisterSpec& spec : RegisterTable().first(kGeneralRegisters)) {
    const size_t at = out.size();
    out.resize(at + spec.bytes);
    KVMLET_RETURN_IF_ERROR(Read(vcpu, spec, std::span(out).subspan(at)));
  }
  return out;
}

absl::StatusOr<std::vector<std::byte>> Arm64Debug::ReadGeneral(
    const KvmVcpu& vcpu) const {
  return ReadGeneralRegisters(vcpu);
}

absl::Status Arm64Debug::WriteGeneral(const KvmVcpu& vcpu,
                                      std::span<const std::byte> value) const {
  KVMLET_ASSIGN_OR_RETURN(const std::vector<std::byte> before,
                          ReadGeneral(vcpu));
  if (value.size() != before.size()) {
    return absl::InvalidArgumentError("not as many bytes as registers");
  }
  // PSTATE says which stack pointer the other is: it comes first.
  absl::Status status;
  for (const bool pstate : {true, false}) {
    size_t at = 0;
    for (const RegisterSpec& spec : RegisterTable().first(kGeneralRegisters)) {
      const auto part = value.subspan(at, spec.bytes);
      const auto old = std::span(before).subspan(at, spec.bytes);
      at += spec.bytes;
      if ((spec.home == RegisterHome::kPstate) != pstate) continue;
      if (std::ranges::equal(part, old)) continue;
      status.Update(Write(vcpu, spec, part));
    }
    if (!status.ok()) break;
  }
  if (status.ok()) return status;
  size_t at = 0;
  for (const RegisterSpec& spec : RegisterTable().first(kGeneralRegisters)) {
    Write(vcpu, spec, std::span(before).subspan(at, spec.bytes)).IgnoreError();
    at += spec.bytes;
  }
  return status;
}

absl::StatusOr<std::vector<std::byte>> Arm64Debug::ReadRegister(
    const KvmVcpu& vcpu, size_t number) const {
  const RegisterSpec* spec = SpecOf(number);
  if (spec == nullptr) return absl::NotFoundError("no such register");
  std::vector<std::byte> out(spec->bytes);
  KVMLET_RETURN_IF_ERROR(Read(vcpu, *spec, out));
  return out;
}

absl::Status Arm64Debug::WriteRegister(const KvmVcpu& vcpu, size_t number,
                                       std::span<const std::byte> value) const {
  const RegisterSpec* spec = SpecOf(number);
  if (spec == nullptr) return absl::NotFoundError("no such register");
  if (value.size() != spec->bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(spec->name, " has ", spec->bytes, " bytes"));
  }
  return Write(vcpu, *spec, value);
}

}  // namespace kvmlet::arch::arm64
