// SPDX-License-Identifier: Apache-2.0
// gdb's AArch64 registers as one table: name, size and type for gdb's target
// description, and which of the vCPU's registers each one is. The first
// kGeneralRegisters make up the `g` packet; the rest are system registers that
// gdb asks for one by one.
//
// Constants and pure functions, thread-safe. gdb's manual, appendix "Target
// Descriptions", "AArch64 Features"; Arm ARM, chapter D19, for the system
// registers.
#ifndef KVMLET_ARCH_ARM64_DEBUG_REGISTERS_H_
#define KVMLET_ARCH_ARM64_DEBUG_REGISTERS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "arch/debug.h"

namespace kvmlet::arch::arm64 {

enum class RegisterHome {
  kX,      // this general register
  kStack,  // the stack pointer in use
  kPc,
  kPstate,
  kVector,  // this SIMD register
  kFpsr,
  kFpcr,
  kSpEl0,
  kSpEl1,
  kElr,
  kSpsr,
  kSystem,  // op0 << 14 | op1 << 11 | CRn << 7 | CRm << 3 | op2
  // No register: which bits of an address pointer authentication may use, in
  // the lower (0) or the upper half (1).
  kSignature,
};

enum class RegisterFeature { kCore, kFpu, kSystem, kSignature };

struct RegisterSpec {
  std::string name;
  uint32_t bytes = 8;
  const char* type = "int64";
  RegisterFeature feature = RegisterFeature::kCore;
  RegisterHome home = RegisterHome::kX;
  uint32_t where = 0;
};

// In gdb's order and numbering.
std::span<const RegisterSpec> RegisterTable();
std::vector<DebugRegister> RegisterList();
inline constexpr size_t kGeneralRegisters = 68;
inline constexpr size_t kFrameNumber = 29;
inline constexpr size_t kSpNumber = 31;
inline constexpr size_t kPcNumber = 32;

std::string BuildDescription();

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_DEBUG_REGISTERS_H_
