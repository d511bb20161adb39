// SPDX-License-Identifier: Apache-2.0
// The kernel's ORC tables, out of its file: where the caller's stack pointer,
// base pointer and return address are, for each address of its text. Both
// layouts are read: that of Linux 6.4 and later, and the older one, which has
// the type of an entry in two bits and counts from 0; the tables themselves
// tell which it is.
//
// Immutable, thread-safe. The file may be hostile: an entry is only numbers,
// and whoever follows them checks where they lead. Specification:
// Documentation/arch/x86/orc-unwinder.rst; asm/orc_types.h.
#ifndef KVMLET_ARCH_X86_64_ORC_H_
#define KVMLET_ARCH_X86_64_ORC_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "arch/backtrace.h"

namespace kvmlet::arch::x86_64 {

// The registers that an entry counts from, by the kernel's numbers.
enum class OrcRegister : uint8_t {
  kUndefined = 0,
  kPreviousSp = 1,
  kDx = 2,
  kDi = 3,
  kBp = 4,
  kSp = 5,
  kR10 = 6,
  kR13 = 7,
  kBpIndirect = 8,
  kSpIndirect = 9,
};

struct OrcEntry {
  // kUndefined: the tables do not say.
  enum class Type { kEnd, kCall, kRegs, kPartialRegs, kUndefined };
  Type type = Type::kEnd;
  OrcRegister sp = OrcRegister::kUndefined;
  OrcRegister bp = OrcRegister::kUndefined;
  int16_t sp_offset = 0;
  int16_t bp_offset = 0;
};

class OrcTable {
 public:
  // Empty when the file has no tables, or none that fit together.
  explicit OrcTable(const KernelFile& file);

  bool empty() const { return index_.empty(); }
  // The tables have the layout of Linux before 6.4.
  bool old_layout() const { return old_layout_; }
  // For an address of the file; nullopt outside the kernel's own text.
  std::optional<OrcEntry> Find(uint64_t address) const;

 private:
  struct Place {
    uint64_t address;
    uint32_t entry;
  };
  uint16_t Word(size_t entry) const;
  bool Ends(size_t entry) const;

  KernelFile::Section entries_;
  std::vector<Place> index_;  // sorted by address
  bool old_layout_ = false;
};

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_ORC_H_
