// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/regs.h"

#include "arch/x86_64/layout.h"
#include "arch/x86_64/multiboot.h"

namespace kvmlet::arch::x86_64 {
namespace {

// CR0, CR4, EFER, RFLAGS bits (SDM volume 3, 2.5 and 2.2.1).
constexpr uint64_t kCr0ProtectedMode = 1u << 0;
constexpr uint64_t kCr0ExtensionType = 1u << 4;
constexpr uint64_t kCr0Paging = 1u << 31;
constexpr uint64_t kCr4Pae = 1u << 5;
constexpr uint64_t kEferLongMode = 1u << 8;
constexpr uint64_t kEferLongModeActive = 1u << 10;
constexpr uint64_t kRflagsReserved = 1u << 1;  // reads as one; IF stays off

// Segment types (SDM volume 3, 3.4.5.1 and 3.5).
constexpr uint8_t kCodeReadAccessed = 0xb;
constexpr uint8_t kDataWriteAccessed = 0x3;
constexpr uint8_t kBusyTss = 0xb;

constexpr uint16_t kCodeSelector = 0x10;
constexpr uint16_t kDataSelector = 0x18;
constexpr uint16_t kTssSelector = 0x20;

constexpr uint64_t kPagePresentWritable = 0x3;
constexpr uint64_t kPageLarge = 0x80;
constexpr uint64_t kPageTableEntries = 512;
constexpr uint64_t kPageTableBytes = 4096;
constexpr uint64_t kMappedGiB = 4;

kvm_segment FlatSegment(uint16_t selector, uint8_t type) {
  kvm_segment segment{};
  segment.base = 0;
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  segment.db = 1;
  return segment;
}

kvm_segment CodeSegment(bool long_mode) {
  kvm_segment code = FlatSegment(kCodeSelector, kCodeReadAccessed);
  code.l = long_mode ? 1 : 0;
  code.db = long_mode ? 0 : 1;
  return code;
}

kvm_segment DataSegment() {
  return FlatSegment(kDataSelector, kDataWriteAccessed);
}

kvm_segment TaskSegment() {
  kvm_segment task{};
  task.limit = 0x67;
  task.selector = kTssSelector;
  task.type = kBusyTss;
  task.present = 1;
  return task;
}

// The descriptor a segment register was loaded from (SDM volume 3, 3.4.5);
// every base here is zero.
uint64_t Descriptor(const kvm_segment& segment) {
  const uint64_t limit = segment.g ? segment.limit >> 12 : segment.limit;
  uint64_t out = (limit & 0xffff) | ((limit >> 16) & 0xf) << 48;
  out |= static_cast<uint64_t>(segment.type) << 40;
  out |= static_cast<uint64_t>(segment.s) << 44;
  out |= static_cast<uint64_t>(segment.dpl) << 45;
  out |= static_cast<uint64_t>(segment.present) << 47;
  out |= static_cast<uint64_t>(segment.l) << 53;
  out |= static_cast<uint64_t>(segment.db) << 54;
  out |= static_cast<uint64_t>(segment.g) << 55;
  return out;
}

void SetSegments(bool long_mode, kvm_sregs& sregs) {
  sregs.cs = CodeSegment(long_mode);
  sregs.ds = DataSegment();
  sregs.es = DataSegment();
  sregs.fs = DataSegment();
  sregs.gs = DataSegment();
  sregs.ss = DataSegment();
  sregs.tr = TaskSegment();
  sregs.ldt = {};
  sregs.ldt.unusable = 1;
  // No handler: an exception before the kernel has its own is a triple fault,
  // which the verdict names.
  sregs.idt = {};
}

void SetLongMode(const BootEntry& entry, kvm_regs& regs, kvm_sregs& sregs) {
  SetSegments(/*long_mode=*/true, sregs);
  sregs.gdt = {};
  sregs.gdt.base = kBootGdt;
  sregs.gdt.limit = sizeof(BuildBootGdt()) - 1;
  sregs.cr0 = kCr0ProtectedMode | kCr0ExtensionType | kCr0Paging;
  sregs.cr3 = kBootPageTables;
  sregs.cr4 = kCr4Pae;
  sregs.efer = kEferLongMode | kEferLongModeActive;
  regs.rsi = entry.info.value;
  regs.rsp = kBootStackTop;
  regs.rbp = kBootStackTop;
}

void SetProtectedMode(const BootEntry& entry, kvm_regs& regs,
                      kvm_sregs& sregs) {
  SetSegments(/*long_mode=*/false, sregs);
  sregs.gdt = {};  // both protocols leave it undefined
  sregs.cr0 = kCr0ProtectedMode | kCr0ExtensionType;
  sregs.cr3 = 0;
  sregs.cr4 = 0;
  sregs.efer = 0;
  regs.rbx = entry.info.value;
}

}  // namespace

void BootRegisters(const BootEntry& entry, kvm_regs& regs, kvm_sregs& sregs) {
  regs = {};
  regs.rflags = kRflagsReserved;
  regs.rip = entry.rip.value;
  sregs.cr2 = 0;
  switch (entry.protocol) {
    case BootProtocol::kLinux64:
      SetLongMode(entry, regs, sregs);
      break;
    case BootProtocol::kPvh:
      SetProtectedMode(entry, regs, sregs);
      break;
    case BootProtocol::kMultiboot:
      SetProtectedMode(entry, regs, sregs);
      regs.rax = kMultibootBootMagic;
      break;
  }
}

std::array<uint64_t, 6> BuildBootGdt() {
  return {0,
          0,
          Descriptor(CodeSegment(/*long_mode=*/true)),
          Descriptor(DataSegment()),
          Descriptor(TaskSegment()),
          0};
}

std::vector<uint64_t> BuildBootPageTables() {
  // One table each of levels 4 and 3, then a directory per GiB.
  std::vector<uint64_t> tables((2 + kMappedGiB) * kPageTableEntries);
  const auto table = [](uint64_t index) {
    return (kBootPageTables + index * kPageTableBytes) | kPagePresentWritable;
  };
  tables[0] = table(1);
  for (uint64_t gib = 0; gib < kMappedGiB; ++gib) {
    tables[kPageTableEntries + gib] = table(2 + gib);
  }
  for (uint64_t page = 0; page < kMappedGiB * kPageTableEntries; ++page) {
    tables[2 * kPageTableEntries + page] =
        (page << 21) | kPageLarge | kPagePresentWritable;
  }
  return tables;
}

}  // namespace kvmlet::arch::x86_64
