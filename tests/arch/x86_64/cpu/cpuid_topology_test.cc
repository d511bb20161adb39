// SPDX-License-Identifier: Apache-2.0
// How a guest is told who shares a core, a cache and a package.
#include <gtest/gtest.h>

#include "tests/arch/x86_64/cpu/cpuid_tables.h"

namespace kvmlet::arch::x86_64 {
namespace {

// 2 sockets of 3 cores of 2 threads: APIC ids have gaps.
constexpr Topology kBig{{.count = 12, .sockets = 2, .cores = 3, .threads = 2}};
constexpr Topology kOne{};

uint32_t Field(uint32_t reg, unsigned low, unsigned width) {
  return reg >> low & ((1u << width) - 1);
}

TEST(CpuidTopologyTest, LeafOneHasTheApicIdAndTheCount) {
  const CpuidTable table = BuildCpuid(IntelTable(), FullHost(), kBig, 11);
  const kvm_cpuid_entry2* one = FindLeaf(table, 1);
  EXPECT_EQ(Field(one->ebx, 24, 8), 13u);
  EXPECT_EQ(Field(one->ebx, 16, 8), 8u);
  EXPECT_EQ(Field(one->ebx, 8, 8), 0x48u);  // CLFLUSH size stays
  EXPECT_TRUE(HasBit(one->edx, 28));        // HTT
}

TEST(CpuidTopologyTest, AloneThereIsNoHyperthreading) {
  CpuidTable supported = IntelTable();
  FindLeaf(supported, 1)->edx = kAll;
  const CpuidTable table = BuildCpuid(supported, FullHost(), kOne, 0);
  EXPECT_FALSE(HasBit(FindLeaf(table, 1)->edx, 28));
  EXPECT_EQ(Field(FindLeaf(table, 1)->ebx, 16, 8), 1u);
}

TEST(CpuidTopologyTest, ManyProcessorsFitTheirField) {
  const Topology many{{.count = 300, .sockets = 1, .cores = 300, .threads = 1}};
  const CpuidTable table = BuildCpuid(IntelTable(), FullHost(), many, 260);
  EXPECT_EQ(Field(FindLeaf(table, 1)->ebx, 16, 8), 255u);
  EXPECT_EQ(FindLeaf(table, 0xb)->edx, 260u);
}

TEST(CpuidTopologyTest, ExtendedTopologyHasThreadsCoresAndAnEnd) {
  for (const uint32_t leaf : {0xbu, 0x1fu}) {
    const CpuidTable table = BuildCpuid(IntelTable(), FullHost(), kBig, 7);
    const kvm_cpuid_entry2* smt = FindLeaf(table, leaf, 0);
    const kvm_cpuid_entry2* core = FindLeaf(table, leaf, 1);
    const kvm_cpuid_entry2* end = FindLeaf(table, leaf, 2);
    ASSERT_TRUE(smt != nullptr && core != nullptr && end != nullptr);
    EXPECT_EQ(smt->eax, 1u);
    EXPECT_EQ(smt->ebx, 2u);
    EXPECT_EQ(smt->ecx, 0x100u);
    EXPECT_EQ(core->eax, 3u);
    EXPECT_EQ(core->ebx, 6u);
    EXPECT_EQ(core->ecx, 0x201u);
    EXPECT_EQ(end->eax, 0u);
    EXPECT_EQ(end->ebx, 0u);
    EXPECT_EQ(end->ecx, 2u);
    EXPECT_EQ(smt->edx, kBig.ApicId(7));
    EXPECT_EQ(core->edx, kBig.ApicId(7));
    EXPECT_EQ(smt->flags, 1u);  // KVM_CPUID_FLAG_SIGNIFCANT_INDEX
    EXPECT_EQ(FindLeaf(table, leaf, 5), nullptr);  // the host's is gone
  }
}

TEST(CpuidTopologyTest, AnOldProcessorHasNoExtendedTopology) {
  CpuidTable supported = IntelTable();
  std::erase_if(supported, [](const kvm_cpuid_entry2& e) {
    return e.function == 0xb || e.function == 0x1f;
  });
  FindLeaf(supported, 0)->eax = 0xa;
  const CpuidTable table = BuildCpuid(supported, FullHost(), kBig, 0);
  EXPECT_EQ(FindLeaf(table, 0xb), nullptr);
}

TEST(CpuidTopologyTest, AmdHasNoLeaf1f) {
  CpuidTable supported = AmdTable();
  FindLeaf(supported, 0)->eax = 0x20;
  const CpuidTable table = BuildCpuid(supported, FullHost(), kBig, 0);
  EXPECT_EQ(FindLeaf(table, 0x1f), nullptr);
  EXPECT_NE(FindLeaf(table, 0xb), nullptr);
}

TEST(CpuidTopologyTest, CachesAreSharedByACoreOrThePackage) {
  const CpuidTable intel = BuildCpuid(IntelTable(), FullHost(), kBig, 0);
  for (const uint32_t inner : {0u, 1u, 2u}) {
    EXPECT_EQ(Field(FindLeaf(intel, 4, inner)->eax, 14, 12), 1u);
  }
  EXPECT_EQ(Field(FindLeaf(intel, 4, 3)->eax, 14, 12), 7u);
  EXPECT_EQ(Field(FindLeaf(intel, 4, 3)->eax, 26, 6), 3u);
  EXPECT_EQ(FindLeaf(intel, 4, 4)->eax, 0u);  // the end of the list
  const CpuidTable amd = BuildCpuid(AmdTable(), FullHost(), kBig, 0);
  EXPECT_EQ(Field(FindLeaf(amd, 0x8000001d, 0)->eax, 14, 12), 1u);
  EXPECT_EQ(Field(FindLeaf(amd, 0x8000001d, 3)->eax, 14, 12), 7u);
}

TEST(CpuidTopologyTest, AmdCountsCoresInLeaf80000008) {
  const CpuidTable table = BuildCpuid(AmdTable(), FullHost(), kBig, 0);
  const kvm_cpuid_entry2* sizes = FindLeaf(table, 0x80000008);
  EXPECT_EQ(Field(sizes->ecx, 0, 8), 5u);
  EXPECT_EQ(Field(sizes->ecx, 12, 4), 3u);
  EXPECT_EQ(sizes->eax, 0x3000u | 46);
  const CpuidTable intel = BuildCpuid(IntelTable(), FullHost(), kBig, 0);
  EXPECT_EQ(FindLeaf(intel, 0x80000008)->ecx, 0x7077u);
}

TEST(CpuidTopologyTest, AmdNamesCoreAndNode) {
  const CpuidTable table = BuildCpuid(AmdTable(), FullHost(), kBig, 9);
  const kvm_cpuid_entry2* topology = FindLeaf(table, 0x8000001e);
  EXPECT_EQ(topology->eax, kBig.ApicId(9));
  EXPECT_EQ(topology->ebx, 1u | 1u << 8);  // core 1, two threads
  EXPECT_EQ(topology->ecx, 1u);            // node 1
  EXPECT_EQ(topology->edx, 0u);
  EXPECT_TRUE(HasBit(FindLeaf(table, 0x80000001)->ecx, 22));  // TOPOEXT
}

TEST(CpuidTopologyTest, TopologyExtensionsNeedTheirLeaf) {
  CpuidTable supported = AmdTable();
  std::erase_if(supported, [](const kvm_cpuid_entry2& e) {
    return e.function == 0x8000001e;
  });
  const CpuidTable table = BuildCpuid(supported, FullHost(), kBig, 0);
  EXPECT_FALSE(HasBit(FindLeaf(table, 0x80000001)->ecx, 22));
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
