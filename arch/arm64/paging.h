// SPDX-License-Identifier: Apache-2.0
// The monitor's own walk of a guest's stage 1 page tables: no translation,
// granules of 4, 16 and 64 KiB, blocks, both halves of the address space,
// tagged addresses, 52-bit physical addresses. Permissions are ignored, as a
// debugger wants it.
//
// Immutable, thread-safe. The tables are hostile: every entry is loaded once
// and checked, and a walk has at most five steps. Specification: Arm ARM,
// chapter D8 "The AArch64 Virtual Memory System Architecture".
#ifndef KVMLET_ARCH_ARM64_PAGING_H_
#define KVMLET_ARCH_ARM64_PAGING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arch/core.h"
#include "arch/debug.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch::arm64 {

// The registers that say how addresses are translated, all of EL1.
struct TranslationRegisters {
  uint64_t sctlr = 0;
  uint64_t tcr = 0;
  uint64_t ttbr0 = 0;
  uint64_t ttbr1 = 0;
};

class Arm64AddressSpace final : public AddressSpace {
 public:
  explicit Arm64AddressSpace(const TranslationRegisters& registers)
      : registers_(registers) {}
  std::optional<Page> Translate(const GuestMemory& memory,
                                uint64_t address) const override;
  std::string Explain(const GuestMemory& memory,
                      uint64_t address) const override;
  // All of it, the kernel's half first, at most so many; none when nothing is
  // translated.
  std::vector<CoreMapping> Mappings(const GuestMemory& memory,
                                    size_t most) const;

 private:
  std::optional<Page> Find(const GuestMemory& memory, uint64_t address,
                           std::string* trace) const;

  TranslationRegisters registers_;
};

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_PAGING_H_
