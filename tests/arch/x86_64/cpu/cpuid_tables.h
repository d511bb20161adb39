// SPDX-License-Identifier: Apache-2.0
// Made-up tables of KVM_GET_SUPPORTED_CPUID: an Intel and an AMD host whose
// every feature bit is set and whose topology is not the guest's.
#ifndef KVMLET_TESTS_ARCH_X86_64_CPU_CPUID_TABLES_H_
#define KVMLET_TESTS_ARCH_X86_64_CPU_CPUID_TABLES_H_

#include "arch/x86_64/cpuid.h"

namespace kvmlet::arch::x86_64 {

inline kvm_cpuid_entry2 Leaf(uint32_t function, uint32_t index, uint32_t eax,
                             uint32_t ebx, uint32_t ecx, uint32_t edx) {
  kvm_cpuid_entry2 entry{};
  entry.function = function;
  entry.index = index;
  entry.eax = eax;
  entry.ebx = ebx;
  entry.ecx = ecx;
  entry.edx = edx;
  return entry;
}

inline constexpr uint32_t kAll = 0xffffffff;
// A cache's EAX: type, level; sharing of 64 threads and 64 cores.
inline constexpr uint32_t Cache(uint32_t type, uint32_t level) {
  return type | level << 5 | 63u << 14 | 63u << 26;
}

inline CpuidTable CommonTable(uint32_t max_leaf, uint32_t ebx) {
  return {Leaf(0, 0, max_leaf, ebx, 0, 0),
          Leaf(1, 0, 0x806f8, 0x77404800, kAll, kAll & ~(1u << 28)),
          Leaf(6, 0, kAll, 0, kAll, 0),
          Leaf(7, 0, 2, kAll, kAll, kAll),
          Leaf(0xb, 0, 5, 99, 0x100, 0x77),
          Leaf(0xb, 1, 7, 99, 0x201, 0x77),
          Leaf(0xb, 2, 0, 0, 2, 0x77),
          Leaf(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d),
          Leaf(0x40000001, 0, 0x01007efb, 0, 0, 0),
          Leaf(0x80000000, 0, 0x80000022, 0, 0, 0),
          Leaf(0x80000001, 0, 0, 0, kAll & ~(1u << 22), kAll),
          Leaf(0x80000008, 0, 0x3000 | 46, 0, 0x7077, 0)};
}

inline CpuidTable IntelTable() {
  CpuidTable table = CommonTable(0x1f, 0x756e6547);
  table.push_back(Leaf(4, 0, Cache(1, 1), 0, 0, 0));
  table.push_back(Leaf(4, 1, Cache(2, 1), 0, 0, 0));
  table.push_back(Leaf(4, 2, Cache(3, 2), 0, 0, 0));
  table.push_back(Leaf(4, 3, Cache(3, 3), 0, 0, 0));
  table.push_back(Leaf(4, 4, 0, 0, 0, 0));
  table.push_back(Leaf(0x1f, 0, 5, 99, 0x100, 0x77));
  table.push_back(Leaf(0x1f, 5, 9, 99, 0x605, 0x77));  // dies
  return table;
}

inline CpuidTable AmdTable() {
  CpuidTable table = CommonTable(0x10, 0x68747541);
  table.push_back(Leaf(0x8000001d, 0, Cache(1, 1), 0, 0, 0));
  table.push_back(Leaf(0x8000001d, 3, Cache(3, 3), 0, 0, 0));
  table.push_back(Leaf(0x8000001e, 0, 0x77, 0x177, 0x707, 0x99));
  return table;
}

inline CpuidHost FullHost() {
  return {.tsc_khz = 2'500'000,
          .tsc_deadline = true,
          .arch_capabilities = 1,
          .perf_capabilities = 1};
}

inline bool HasBit(uint32_t reg, unsigned bit) { return (reg >> bit & 1) != 0; }

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_TESTS_ARCH_X86_64_CPU_CPUID_TABLES_H_
