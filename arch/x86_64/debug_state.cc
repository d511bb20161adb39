// SPDX-License-Identifier: Apache-2.0
// Reads and writes gdb's registers through KVM's requests.
#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "arch/x86_64/debug.h"
#include "arch/x86_64/debug_registers.h"
#include "arch/x86_64/kvm_x86.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr std::array<size_t, 3> kExpedited{kRipNumber, kRspNumber, kRbpNumber};

absl::Status WriteMsr(const KvmVcpu& vcpu, uint32_t index, uint64_t value) {
  MsrList list(1);
  list.Add({.index = index, .reserved = 0, .data = value});
  KVMLET_ASSIGN_OR_RETURN(const int done,
                          vcpu.fd().Exchange(kSetMsrs, list.header()));
  if (done == 1) return absl::OkStatus();
  return absl::InvalidArgumentError("KVM does not take this value");
}

absl::StatusOr<uint64_t> ReadSystem(const KvmVcpu& vcpu,
                                    const RegisterSpec& spec) {
  switch (spec.home) {
    case RegisterHome::kDebugRegister: {
      KVMLET_ASSIGN_OR_RETURN(const kvm_debugregs registers,
                              vcpu.fd().Get(kGetDebugregs));
      if (spec.where == 6) return registers.dr6;
      if (spec.where == 7) return registers.dr7;
      return registers.db[spec.where];
    }
    case RegisterHome::kXcr0: {
      KVMLET_ASSIGN_OR_RETURN(const kvm_xcrs xcrs, vcpu.fd().Get(kGetXcrs));
      return xcrs.xcrs[0].value;
    }
    default:
      return ReadMsr(vcpu.fd(), spec.where);
  }
}

absl::Status WriteSystem(const KvmVcpu& vcpu, const RegisterSpec& spec,
                         uint64_t value) {
  switch (spec.home) {
    case RegisterHome::kDebugRegister: {
      KVMLET_ASSIGN_OR_RETURN(kvm_debugregs registers,
                              vcpu.fd().Get(kGetDebugregs));
      if (spec.where == 6) {
        registers.dr6 = value;
      } else if (spec.where == 7) {
        registers.dr7 = value;
      } else {
        registers.db[spec.where] = value;
      }
      return vcpu.fd().Set(kSetDebugregs, registers);
    }
    case RegisterHome::kXcr0: {
      kvm_xcrs xcrs{};
      xcrs.nr_xcrs = 1;
      xcrs.xcrs[0].value = value;
      return vcpu.fd().Set(kSetXcrs, xcrs);
    }
    default:
      return WriteMsr(vcpu, spec.where, value);
  }
}

absl::StatusOr<GeneralState> ReadState(const KvmVcpu& vcpu) {
  GeneralState state;
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetRegs, state.regs));
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetSregs, state.sregs));
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetXsave, state.xsave));
  return state;
}

bool Differs(const auto& a, const auto& b) {
  return std::memcmp(&a, &b, sizeof(a)) != 0;
}

// What KVM may refuse comes first; what was set before is put back.
absl::Status WriteState(const KvmVcpu& vcpu, const GeneralState& before,
                        const GeneralState& after) {
  if (Differs(before.sregs, after.sregs)) {
    KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetSregs, after.sregs));
  }
  absl::Status status;
  if (Differs(before.xsave, after.xsave)) {
    status = vcpu.fd().Set(kSetXsave, after.xsave);
  }
  if (status.ok() && Differs(before.regs, after.regs)) {
    status = vcpu.fd().Set(kSetRegs, after.regs);
  }
  if (status.ok()) return status;
  vcpu.fd().Set(kSetXsave, before.xsave).IgnoreError();
  vcpu.fd().Set(kSetSregs, before.sregs).IgnoreError();
  return status;
}

// Registers that are in kvm_regs, kvm_sregs or the XSAVE area.
bool InState(const RegisterSpec& spec) {
  return spec.home != RegisterHome::kDebugRegister &&
         spec.home != RegisterHome::kXcr0 && spec.home != RegisterHome::kMsr;
}

}  // namespace

size_t X86Debug::general_count() const { return kGeneralRegisters; }

std::span<const size_t> X86Debug::expedited() const { return kExpedited; }

absl::StatusOr<std::vector<std::byte>> X86Debug::ReadGeneral(
    const KvmVcpu& vcpu) const {
  KVMLET_ASSIGN_OR_RETURN(const GeneralState state, ReadState(vcpu));
  std::vector<std::byte> out;
  for (const RegisterSpec& spec : RegisterTable().first(kGeneralRegisters)) {
    const size_t at = out.size();
    out.resize(at + spec.bytes);
    Encode(spec, state, std::span(out).subspan(at));
  }
  return out;
}

absl::Status X86Debug::WriteGeneral(const KvmVcpu& vcpu,
                                    std::span<const std::byte> value) const {
  KVMLET_ASSIGN_OR_RETURN(const GeneralState before, ReadState(vcpu));
  GeneralState after = before;
  for (const RegisterSpec& spec : RegisterTable().first(kGeneralRegisters)) {
    if (value.size() < spec.bytes) {
      return absl::InvalidArgumentError("too few bytes for all registers");
    }
    KVMLET_RETURN_IF_ERROR(Decode(spec, value.first(spec.bytes), after));
    value = value.subspan(spec.bytes);
  }
  if (!value.empty()) {
    return absl::InvalidArgumentError("more bytes than registers");
  }
  return WriteState(vcpu, before, after);
}

absl::StatusOr<std::vector<std::byte>> X86Debug::ReadRegister(
    const KvmVcpu& vcpu, size_t number) const {
  if (number >= RegisterTable().size()) {
    return absl::NotFoundError("no such register");
  }
  const RegisterSpec& spec = RegisterTable()[number];
  std::vector<std::byte> out(spec.bytes);
  if (!InState(spec)) {
    KVMLET_ASSIGN_OR_RETURN(const uint64_t value, ReadSystem(vcpu, spec));
    std::memcpy(out.data(), &value, std::min(sizeof(value), out.size()));
    return out;
  }
  // Only the structure that has it: gdb asks for three of them at each stop.
  GeneralState state;
  if (spec.home == RegisterHome::kRegs) {
    KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetRegs, state.regs));
  } else if (spec.home == RegisterHome::kSregs) {
    KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetSregs, state.sregs));
  } else {
    KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetXsave, state.xsave));
  }
  Encode(spec, state, out);
  return out;
}

absl::Status X86Debug::WriteRegister(const KvmVcpu& vcpu, size_t number,
                                     std::span<const std::byte> value) const {
  if (number >= RegisterTable().size()) {
    return absl::NotFoundError("no such register");
  }
  const RegisterSpec& spec = RegisterTable()[number];
  if (value.size() != spec.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(spec.name, " has ", spec.bytes, " bytes"));
  }
  if (!InState(spec)) {
    uint64_t word = 0;
    std::memcpy(&word, value.data(), std::min(sizeof(word), value.size()));
    return WriteSystem(vcpu, spec, word);
  }
  KVMLET_ASSIGN_OR_RETURN(const GeneralState before, ReadState(vcpu));
  GeneralState after = before;
  KVMLET_RETURN_IF_ERROR(Decode(spec, value, after));
  return WriteState(vcpu, before, after);
}

}  // namespace kvmlet::arch::x86_64
