// SPDX-License-Identifier: Apache-2.0
// Who called whom on the stack of an arm64 vCPU that runs Linux: the chain of
// frame records that X29 begins, without the signatures that pointer
// authentication puts into return addresses. Exceptions taken in the kernel are
// crossed, as Linux before and since 6.13 marks them.
//
// Pure but for guest memory, every word of which goes through the page walk;
// the chain is the guest's, and bounded. Units: bytes. Specification: AAPCS64,
// "The Frame Pointer"; Arm ARM, D8.10 "Pointer authentication"; Linux,
// asm/stacktrace/frame.h.
#ifndef KVMLET_ARCH_ARM64_UNWIND_H_
#define KVMLET_ARCH_ARM64_UNWIND_H_

#include <cstdint>

#include "arch/backtrace.h"
#include "arch/common/guest_view.h"

namespace kvmlet::arch::arm64 {

struct UnwindRegisters {
  uint64_t pc = 0;
  uint64_t fp = 0;   // X29
  uint64_t lr = 0;   // X30
  uint64_t tcr = 0;  // TCR_EL1: how many bits an address has
};

Backtrace Unwind(const GuestView& view, const UnwindRegisters& start);

// The bits of an address in the upper or the lower half that pointer
// authentication may use: all but 55, which chooses the half, above those that
// TCR_EL1 says are translated; 0 when it says nothing.
uint64_t SignatureMask(bool upper, uint64_t tcr);

// Bits above those of an address repeat the one that chooses its half.
uint64_t WithoutSignature(uint64_t address, uint64_t tcr);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_UNWIND_H_
