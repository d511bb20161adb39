// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/regs.h"

#include "arch/x86_64/layout.h"
#include "gtest/gtest.h"

namespace kvmlet::arch::x86_64 {
namespace {

struct Registers {
  kvm_regs regs{};
  kvm_sregs sregs{};
};

// From registers full of what a running guest may have left.
Registers Boot(BootProtocol protocol) {
  Registers out;
  out.regs.rax = out.regs.rbx = out.regs.r15 = 0xdead;
  out.regs.rflags = 0x246;
  out.sregs.cr0 = 0xe0000011;
  out.sregs.cr2 = out.sregs.cr3 = out.sregs.cr4 = 0x12345678;
  out.sregs.efer = 0xd01;
  out.sregs.apic_base = 0xfee00900;
  out.sregs.idt.limit = 0xfff;
  BootRegisters({protocol, Gpa{0x1000200}, Gpa{0x7000}}, out.regs, out.sregs);
  return out;
}

TEST(BootRegistersTest, LongModeHasPagingOn) {
  const Registers r = Boot(BootProtocol::kLinux64);

  EXPECT_EQ(r.sregs.cr0, 0x80000011u);
  EXPECT_EQ(r.sregs.cr3, kBootPageTables);
  EXPECT_EQ(r.sregs.cr4, 0x20u);
  EXPECT_EQ(r.sregs.efer, 0x500u);
}

TEST(BootRegistersTest, LongModeHasTheSelectorsOfTheBootProtocol) {
  const Registers r = Boot(BootProtocol::kLinux64);

  EXPECT_EQ(r.sregs.cs.selector, 0x10);
  EXPECT_EQ(r.sregs.cs.l, 1);
  EXPECT_EQ(r.sregs.cs.db, 0);
  for (const kvm_segment* s :
       {&r.sregs.ds, &r.sregs.es, &r.sregs.fs, &r.sregs.gs, &r.sregs.ss}) {
    EXPECT_EQ(s->selector, 0x18);
    EXPECT_EQ(s->type, 3);
  }
  EXPECT_EQ(r.sregs.gdt.base, kBootGdt);
  EXPECT_EQ(r.sregs.gdt.limit, 47);
}

TEST(BootRegistersTest, LongModePointsRsiAtTheZeroPage) {
  const Registers r = Boot(BootProtocol::kLinux64);

  EXPECT_EQ(r.regs.rip, 0x1000200u);
  EXPECT_EQ(r.regs.rsi, 0x7000u);
  EXPECT_EQ(r.regs.rbx, 0u);
}

TEST(BootRegistersTest, PvhIsFlatProtectedModeWithoutPaging) {
  const Registers r = Boot(BootProtocol::kPvh);

  EXPECT_EQ(r.sregs.cr0, 0x11u);
  EXPECT_EQ(r.sregs.cr3, 0u);
  EXPECT_EQ(r.sregs.cr4, 0u);
  EXPECT_EQ(r.sregs.efer, 0u);
  EXPECT_EQ(r.regs.rbx, 0x7000u);
  EXPECT_EQ(r.regs.rax, 0u);
  EXPECT_EQ(r.sregs.cs.l, 0);
  EXPECT_EQ(r.sregs.cs.db, 1);
}

TEST(BootRegistersTest, PvhSegmentsReach4GiBAndTheTaskItsMinimum) {
  const Registers r = Boot(BootProtocol::kPvh);

  for (const kvm_segment* s : {&r.sregs.cs, &r.sregs.ds, &r.sregs.ss}) {
    EXPECT_EQ(s->base, 0u);
    EXPECT_EQ(s->limit, 0xffffffffu);
    EXPECT_EQ(s->g, 1);
    EXPECT_EQ(s->s, 1);
    EXPECT_EQ(s->present, 1);
  }
  EXPECT_EQ(r.sregs.tr.limit, 0x67u);
  EXPECT_EQ(r.sregs.tr.type, 0xb);
  EXPECT_EQ(r.sregs.tr.s, 0);
  EXPECT_EQ(r.sregs.ldt.unusable, 1);
}

TEST(BootRegistersTest, MultibootPutsItsMagicIntoEax) {
  const Registers r = Boot(BootProtocol::kMultiboot);

  EXPECT_EQ(r.regs.rax, 0x2badb002u);
  EXPECT_EQ(r.regs.rbx, 0x7000u);
  EXPECT_EQ(r.sregs.cr0, 0x11u);
}

TEST(BootRegistersTest, InterruptsAreOffAndNothingElseIsLeftOver) {
  for (const BootProtocol protocol :
       {BootProtocol::kLinux64, BootProtocol::kPvh, BootProtocol::kMultiboot}) {
    const Registers r = Boot(protocol);
    EXPECT_EQ(r.regs.rflags, 2u);
    EXPECT_EQ(r.regs.r15, 0u);
    EXPECT_EQ(r.sregs.cr2, 0u);
    EXPECT_EQ(r.sregs.idt.limit, 0);
    EXPECT_EQ(r.sregs.apic_base, 0xfee00900u);
  }
}

TEST(BootGdtTest, HoldsTheDescriptorsLinuxExpects) {
  const auto gdt = BuildBootGdt();

  EXPECT_EQ(gdt[0], 0u);
  EXPECT_EQ(gdt[1], 0u);
  EXPECT_EQ(gdt[2], 0x00af9b000000ffffu);
  EXPECT_EQ(gdt[3], 0x00cf93000000ffffu);
  EXPECT_EQ(gdt[4], 0x00008b0000000067u);
}

TEST(BootPageTablesTest, MapTheLow4GiBOntoThemselves) {
  const auto tables = BuildBootPageTables();

  ASSERT_EQ(tables.size(), 6u * 512);
  EXPECT_EQ(tables[0], (kBootPageTables + 0x1000) | 3);
  EXPECT_EQ(tables[1], 0u);
  for (uint64_t address = 0; address < 1ull << 32; address += 2 << 20) {
    const uint64_t directory = tables[512 + (address >> 30)];
    const uint64_t index = ((directory & ~0xfffull) - kBootPageTables) / 8;
    const uint64_t entry = tables[index + ((address >> 21) & 511)];
    ASSERT_EQ(entry, address | 0x83);
  }
  EXPECT_EQ(tables[512 + 4], 0u);
}

TEST(BootPageTablesTest, FitTheLayout) {
  EXPECT_LE(kBootPageTables + BuildBootPageTables().size() * 8, kMultibootInfo);
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
