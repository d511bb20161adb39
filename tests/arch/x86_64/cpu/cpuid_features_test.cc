// SPDX-License-Identifier: Apache-2.0
// Which features a guest is offered.
#include <gtest/gtest.h>

#include "tests/arch/x86_64/cpu/cpuid_tables.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr Topology kOne{};

kvm_cpuid_entry2 Built(const CpuidTable& supported, const CpuidHost& host,
                       uint32_t leaf) {
  const CpuidTable table = BuildCpuid(supported, host, kOne, 0);
  const kvm_cpuid_entry2* found = FindLeaf(table, leaf);
  EXPECT_NE(found, nullptr);
  return found != nullptr ? *found : kvm_cpuid_entry2{};
}

TEST(CpuidFeaturesTest, AHypervisorAndX2apicAreThere) {
  for (CpuidTable supported : {IntelTable(), AmdTable()}) {
    FindLeaf(supported, 1)->ecx = 0;
    const auto one = Built(supported, FullHost(), 1);
    EXPECT_TRUE(HasBit(one.ecx, 31));
    EXPECT_TRUE(HasBit(one.ecx, 21));
  }
}

TEST(CpuidFeaturesTest, NestedVirtualisationIsNotOffered) {
  EXPECT_FALSE(HasBit(Built(IntelTable(), FullHost(), 1).ecx, 5));
  EXPECT_FALSE(HasBit(Built(AmdTable(), FullHost(), 0x80000001).ecx, 2));
}

TEST(CpuidFeaturesTest, OtherBitsStay) {
  const auto one = Built(IntelTable(), FullHost(), 1);
  EXPECT_EQ(one.ecx | 1u << 5, kAll);
  EXPECT_EQ(Built(IntelTable(), FullHost(), 7).ebx, kAll);
}

// Stolen time among them: the guest needs no more than KVM's word.
TEST(CpuidFeaturesTest, WhatKvmOffersLinuxStays) {
  constexpr unsigned kStealTime = 5;
  CpuidTable supported = IntelTable();
  const auto offered = Built(supported, FullHost(), 0x40000001);
  EXPECT_EQ(offered.eax, FindLeaf(supported, 0x40000001)->eax);
  EXPECT_TRUE(HasBit(offered.eax, kStealTime));
  // A host that does not count it.
  FindLeaf(supported, 0x40000001)->eax &= ~(1u << kStealTime);
  EXPECT_FALSE(
      HasBit(Built(supported, FullHost(), 0x40000001).eax, kStealTime));
}

TEST(CpuidFeaturesTest, TheDeadlineTimerFollowsTheHost) {
  CpuidHost host = FullHost();
  EXPECT_TRUE(HasBit(Built(IntelTable(), host, 1).ecx, 24));
  host.tsc_deadline = false;
  EXPECT_FALSE(HasBit(Built(IntelTable(), host, 1).ecx, 24));
}

TEST(CpuidFeaturesTest, PerfCapabilitiesNeedTheirMsr) {
  CpuidHost host = FullHost();
  EXPECT_TRUE(HasBit(Built(IntelTable(), host, 1).ecx, 15));
  host.perf_capabilities.reset();
  EXPECT_FALSE(HasBit(Built(IntelTable(), host, 1).ecx, 15));
}

TEST(CpuidFeaturesTest, ArchCapabilitiesNeedTheirMsr) {
  CpuidHost host = FullHost();
  EXPECT_TRUE(HasBit(Built(IntelTable(), host, 7).edx, 29));
  host.arch_capabilities.reset();
  EXPECT_FALSE(HasBit(Built(IntelTable(), host, 7).edx, 29));
}

TEST(CpuidFeaturesTest, ArchCapabilitiesAreNotForAmd) {
  EXPECT_FALSE(HasBit(Built(AmdTable(), FullHost(), 7).edx, 29));
  CpuidTable hygon = AmdTable();
  FindLeaf(hygon, 0)->ebx = 0x6f677948;
  EXPECT_FALSE(HasBit(Built(hygon, FullHost(), 7).edx, 29));
}

TEST(CpuidFeaturesTest, WhatWouldHoldTheCoreIsNotOffered) {
  EXPECT_FALSE(HasBit(Built(IntelTable(), FullHost(), 7).ecx, 5));  // WAITPKG
  EXPECT_FALSE(HasBit(Built(IntelTable(), FullHost(), 6).eax, 1));  // turbo
  EXPECT_FALSE(HasBit(Built(IntelTable(), FullHost(), 6).ecx, 3));  // bias
}

TEST(CpuidFeaturesTest, TheTimingLeafTellsFrequencies) {
  const CpuidTable table = BuildCpuid(IntelTable(), FullHost(), kOne, 0);
  EXPECT_EQ(FindLeaf(table, 0x40000000)->eax, 0x40000010u);
  const kvm_cpuid_entry2* timing = FindLeaf(table, 0x40000010);
  ASSERT_NE(timing, nullptr);
  EXPECT_EQ(timing->eax, 2'500'000u);
  EXPECT_EQ(timing->ebx, 1'000'000u);
  EXPECT_EQ(timing->flags, 0u);
}

TEST(CpuidFeaturesTest, AnUnknownFrequencyIsNotTold) {
  CpuidHost host = FullHost();
  host.tsc_khz = 0;
  const CpuidTable table = BuildCpuid(IntelTable(), host, kOne, 0);
  EXPECT_EQ(FindLeaf(table, 0x40000010), nullptr);
  EXPECT_EQ(FindLeaf(table, 0x40000000)->eax, 0x40000001u);
}

TEST(CpuidFeaturesTest, ALargerHypervisorRangeStays) {
  CpuidTable supported = IntelTable();
  FindLeaf(supported, 0x40000000)->eax = 0x40000100;
  EXPECT_EQ(Built(supported, FullHost(), 0x40000000).eax, 0x40000100u);
}

TEST(CpuidFeaturesTest, ATableWithoutLeavesIsNoReasonToCrash) {
  const CpuidTable empty = BuildCpuid({}, FullHost(), kOne, 0);
  EXPECT_TRUE(empty.empty());
  const CpuidTable one = BuildCpuid({Leaf(0, 0, 0, 0, 0, 0)}, {}, kOne, 0);
  EXPECT_EQ(one.size(), 1u);
}

TEST(CpuidFeaturesTest, AddressBitsHaveADefault) {
  EXPECT_EQ(PhysicalAddressBits(IntelTable()), 46u);
  EXPECT_EQ(PhysicalAddressBits({}), 36u);
}

TEST(CpuidFeaturesTest, TheSupportedTableIsNotTouched) {
  const CpuidTable supported = AmdTable();
  BuildCpuid(supported, FullHost(), kOne, 0);
  EXPECT_EQ(FindLeaf(supported, 1)->ecx, kAll);
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
