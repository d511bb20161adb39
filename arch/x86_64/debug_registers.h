// SPDX-License-Identifier: Apache-2.0
// gdb's x86-64 registers as one table: name, size and type for gdb's target
// description, and where in KVM's structures each one lives. The first
// kGeneralRegisters make up the `g` packet; the rest are system registers
// that gdb asks for one by one.
//
// Constants and pure functions, thread-safe. gdb's manual, appendix "Target
// Descriptions", "i386 Features"; Intel SDM volume 1, 13.4 "XSAVE Area".
#ifndef KVMLET_ARCH_X86_64_DEBUG_REGISTERS_H_
#define KVMLET_ARCH_X86_64_DEBUG_REGISTERS_H_

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "arch/debug.h"
#include "arch/x86_64/kvm_x86.h"

namespace kvmlet::arch::x86_64 {

enum class RegisterHome {
  kRegs,      // at this offset of kvm_regs
  kSregs,     // at this offset of kvm_sregs
  kX87,       // this stack register
  kX87State,  // this word of x87's state, in gdb's order
  kXmm,
  kMxcsr,
  kYmmHigh,
  kDebugRegister,
  kXcr0,
  kMsr,
};

enum class RegisterFeature { kCore, kSse, kSegments, kAvx, kSystem };

struct RegisterSpec {
  std::string name;
  uint32_t bytes = 8;
  const char* type = "int64";
  RegisterFeature feature = RegisterFeature::kCore;
  RegisterHome home = RegisterHome::kRegs;
  uint32_t where = 0;
};

// In gdb's order and numbering.
std::span<const RegisterSpec> RegisterTable();
std::vector<DebugRegister> RegisterList();
inline constexpr size_t kGeneralRegisters = 75;
inline constexpr size_t kRipNumber = 16;
inline constexpr size_t kRspNumber = 7;
inline constexpr size_t kRbpNumber = 6;

// What the `g` packet comes from.
struct GeneralState {
  kvm_regs regs{};
  kvm_sregs sregs{};
  XsaveArea xsave{};
};
// Copies one register between gdb's bytes and the state. The register is one
// of the first kGeneralRegisters, the span has its size.
void Encode(const RegisterSpec& spec, const GeneralState& state,
            std::span<std::byte> out);
absl::Status Decode(const RegisterSpec& spec, std::span<const std::byte> in,
                    GeneralState& state);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_DEBUG_REGISTERS_H_
