// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/cpuid.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "arch/x86_64/kvm_x86.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint32_t Bit(unsigned n) { return 1u << n; }

void SetField(uint32_t& reg, unsigned low, unsigned width, uint32_t value) {
  const uint32_t mask = (width == 32 ? ~0u : (1u << width) - 1) << low;
  reg = (reg & ~mask) | ((value << low) & mask);
}

kvm_cpuid_entry2& LeafOrNew(CpuidTable& table, uint32_t leaf, uint32_t index,
                            bool indexed) {
  if (kvm_cpuid_entry2* found = FindLeaf(table, leaf, index)) return *found;
  kvm_cpuid_entry2 entry{};
  entry.function = leaf;
  entry.index = index;
  entry.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
  table.push_back(entry);
  return table.back();
}

void RemoveLeaf(CpuidTable& table, uint32_t leaf) {
  std::erase_if(
      table, [leaf](const kvm_cpuid_entry2& e) { return e.function == leaf; });
}

void PatchFeatures(CpuidTable& table, const CpuidHost& host,
                   const Topology& topology, uint32_t apic_id) {
  const uint32_t logical = 1u << topology.package_bits();
  if (kvm_cpuid_entry2* one = FindLeaf(table, 1)) {
    SetField(one->ebx, 24, 8, apic_id);
    SetField(one->ebx, 16, 8, std::min(logical, 255u));
    SetField(one->edx, 28, 1, logical > 1);  // HTT
    one->ecx |= Bit(31);                     // hypervisor present
    one->ecx |= Bit(21);                     // x2APIC, KVM emulates it
    SetField(one->ecx, 24, 1, host.tsc_deadline);
    one->ecx &= ~Bit(5);  // VMX: nested guests are not offered
    if (!host.perf_capabilities) one->ecx &= ~Bit(15);  // PDCM needs its MSR
  }
  if (kvm_cpuid_entry2* seven = FindLeaf(table, 7)) {
    // ARCH_CAPABILITIES: only with its MSR, and never on AMD, where KVM
    // reports the bit but kernels do not expect it.
    if (!host.arch_capabilities || IsAmd(table)) seven->edx &= ~Bit(29);
    seven->ecx &= ~Bit(5);  // WAITPKG would let a guest hold the core
  }
  if (kvm_cpuid_entry2* six = FindLeaf(table, 6)) {
    six->eax &= ~Bit(1);  // turbo: there is nothing to control
    six->ecx &= ~Bit(3);  // energy/performance bias
  }
  if (kvm_cpuid_entry2* ext = FindLeaf(table, 0x80000001)) {
    ext->ecx &= ~Bit(2);  // SVM: nested guests are not offered
  }
}

// Leaf 4 (Intel) and 0x8000001d (AMD): who shares which cache.
void PatchCaches(CpuidTable& table, const Topology& topology) {
  const uint32_t per_core = 1u << topology.thread_bits();
  const uint32_t per_package = 1u << topology.package_bits();
  for (kvm_cpuid_entry2& e : table) {
    if (e.function != 4 && e.function != 0x8000001d) continue;
    const uint32_t type = e.eax & 0x1f;
    const uint32_t level = (e.eax >> 5) & 7;
    if (type == 0) continue;
    SetField(e.eax, 14, 12, (level < 3 ? per_core : per_package) - 1);
    if (e.function == 4) {
      SetField(
          e.eax, 26, 6,
          std::min(
              (1u << (topology.package_bits() - topology.thread_bits())) - 1,
              63u));
    }
  }
}

// Leaves 0xb and 0x1f: extended topology, one subleaf a level.
void PatchExtendedTopology(CpuidTable& table, const Topology& topology,
                           uint32_t apic_id, uint32_t leaf) {
  RemoveLeaf(table, leaf);
  kvm_cpuid_entry2& smt = LeafOrNew(table, leaf, 0, true);
  smt.eax = topology.thread_bits();
  smt.ebx = topology.threads;
  smt.ecx = 0 | (1u << 8);
  smt.edx = apic_id;
  kvm_cpuid_entry2& core = LeafOrNew(table, leaf, 1, true);
  core.eax = topology.package_bits();
  core.ebx = topology.threads * topology.cores;
  core.ecx = 1 | (2u << 8);
  core.edx = apic_id;
  kvm_cpuid_entry2& end = LeafOrNew(table, leaf, 2, true);
  end.ecx = 2;
  end.edx = apic_id;
}

void PatchAmdTopology(CpuidTable& table, const Topology& topology,
                      uint32_t apic_id, uint32_t index) {
  if (kvm_cpuid_entry2* sizes = FindLeaf(table, 0x80000008)) {
    SetField(sizes->ecx, 0, 8,
             std::min(topology.cores * topology.threads - 1, 255u));
    SetField(sizes->ecx, 12, 4, topology.package_bits());
  }
  kvm_cpuid_entry2* ext = FindLeaf(table, 0x80000001);
  kvm_cpuid_entry2* topo = FindLeaf(table, 0x8000001e);
  if (topo == nullptr) return;
  if (ext != nullptr) ext->ecx |= Bit(22);  // TOPOEXT
  topo->eax = apic_id;
  topo->ebx =
      (index / topology.threads % topology.cores) | (topology.threads - 1) << 8;
  topo->ecx = index / topology.threads / topology.cores;
  topo->edx = 0;
}

// 0x40000010: TSC and local APIC timer frequency in kHz, a convention that
// Linux reads to skip calibration.
void PatchHypervisor(CpuidTable& table, const CpuidHost& host) {
  kvm_cpuid_entry2* signature = FindLeaf(table, 0x40000000);
  if (signature == nullptr || host.tsc_khz == 0) return;
  signature->eax = std::max(signature->eax, 0x40000010u);
  kvm_cpuid_entry2& timing = LeafOrNew(table, 0x40000010, 0, false);
  timing.eax = host.tsc_khz;
  timing.ebx = 1'000'000;
}

// What machine checks need on AMD: records that overflow lose nothing, and
// software contains the error (AMD APM volume 3, CPUID Fn8000_0007_EBX).
void PatchAmdRecovery(CpuidTable& table) {
  LeafOrNew(table, 0x80000007, 0, false).ebx |= Bit(0) | Bit(1);
}

}  // namespace

bool IsAmd(const CpuidTable& table) {
  const kvm_cpuid_entry2* leaf = FindLeaf(table, 0);
  // "AuthenticAMD" and "HygonGenuine", by EBX.
  return leaf != nullptr &&
         (leaf->ebx == 0x68747541 || leaf->ebx == 0x6f677948);
}

absl::StatusOr<CpuidTable> QueryCpuid(const KvmSystem& system) {
  size_t room = 128;
  while (true) {
    CpuidList list(room);
    list.set_count(room);
    const absl::StatusOr<int> result =
        system.fd().Exchange(kGetSupportedCpuid, list.header());
    if (result.ok()) {
      return CpuidTable(list.entries().begin(), list.entries().end());
    }
    // Most likely E2BIG: the table is larger than the room.
    if (room >= 2048) return result.status();
    room *= 2;
  }
}

std::optional<uint64_t> QueryFeatureMsr(const KvmSystem& system,
                                        uint32_t index) {
  MsrList list(1);
  list.Add({.index = index, .reserved = 0, .data = 0});
  const absl::StatusOr<int> count =
      system.fd().Exchange(kGetMsrs, list.header());
  if (!count.ok() || *count != 1) return std::nullopt;
  return list.entries()[0].data;
}

kvm_cpuid_entry2* FindLeaf(CpuidTable& table, uint32_t leaf, uint32_t index) {
  for (kvm_cpuid_entry2& e : table) {
    if (e.function == leaf && e.index == index) return &e;
  }
  return nullptr;
}

const kvm_cpuid_entry2* FindLeaf(const CpuidTable& table, uint32_t leaf,
                                 uint32_t index) {
  return FindLeaf(const_cast<CpuidTable&>(table), leaf, index);
}

uint32_t PhysicalAddressBits(const CpuidTable& table) {
  const kvm_cpuid_entry2* leaf = FindLeaf(table, 0x80000008);
  return leaf != nullptr ? leaf->eax & 0xff : 36;
}

CpuidTable BuildCpuid(const CpuidTable& supported, const CpuidHost& host,
                      const Topology& topology, uint32_t index) {
  CpuidTable table = supported;
  const uint32_t apic_id = topology.ApicId(index);
  PatchFeatures(table, host, topology, apic_id);
  PatchCaches(table, topology);
  if (const kvm_cpuid_entry2* zero = FindLeaf(table, 0)) {
    if (zero->eax >= 0xb) {
      PatchExtendedTopology(table, topology, apic_id, 0xb);
    }
    if (FindLeaf(table, 0)->eax >= 0x1f && !IsAmd(table)) {
      PatchExtendedTopology(table, topology, apic_id, 0x1f);
    }
  }
  if (IsAmd(table)) {
    PatchAmdTopology(table, topology, apic_id, index);
    PatchAmdRecovery(table);
  }
  PatchHypervisor(table, host);
  return table;
}

}  // namespace kvmlet::arch::x86_64
