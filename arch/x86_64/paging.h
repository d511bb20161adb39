// SPDX-License-Identifier: Apache-2.0
// The monitor's own walk of a guest's page tables: none, 32-bit, PAE, 4 and 5
// levels, large pages. Permissions are ignored, as a debugger wants it; a
// kernel address is found as well while the reduced tables of page-table
// isolation are loaded.
//
// Immutable, thread-safe. The tables are hostile: every entry is loaded once
// and checked, and a walk has at most five steps. Specification: Intel SDM
// volume 3, chapter 4 "Paging".
#ifndef KVMLET_ARCH_X86_64_PAGING_H_
#define KVMLET_ARCH_X86_64_PAGING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arch/core.h"
#include "arch/debug.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch::x86_64 {

// The registers that say how addresses are translated.
struct PagingRegisters {
  uint64_t cr0 = 0;
  uint64_t cr3 = 0;
  uint64_t cr4 = 0;
  uint64_t efer = 0;
};

class X86AddressSpace final : public AddressSpace {
 public:
  explicit X86AddressSpace(const PagingRegisters& registers)
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
  std::optional<Page> Walk(const GuestMemory& memory, uint64_t cr3,
                           uint64_t address, std::string* trace) const;
  bool IsolatedTables(const GuestMemory& memory) const;

  PagingRegisters registers_;
};

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_PAGING_H_
