// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/elf_image.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/arch/x86_64/boot/images.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::arch::x86_64 {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Refusal(const Bytes& bytes) {
  const auto plan = PlanElf(AsFile(bytes));
  EXPECT_EQ(ExitStatusFor(plan.status()), 65);
  EXPECT_THAT(Message(plan.status()), StartsWith("--kernel x: "));
  return Message(plan.status());
}

TEST(ElfImageTest, SegmentsAreTakenByPhysicalAddress) {
  Elf64Parts elf = MakeElf64();
  elf.segments[0].p_vaddr = 0xffffffff81000000;

  const auto plan = PlanElf(AsFile(elf.Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->segments.size(), 1u);
  EXPECT_EQ(plan->segments[0].at, Gpa{0x1000000});
  EXPECT_EQ(plan->segments[0].file_offset, Elf64Parts::kBody);
  EXPECT_EQ(plan->segments[0].file_size, 0x100u);
  EXPECT_EQ(plan->segments[0].memory_size, 0x200u);
}

TEST(ElfImageTest, WithoutANoteTheEntryIsThe64BitOne) {
  const auto plan = PlanElf(AsFile(MakeElf64().Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->protocol, BootProtocol::kLinux64);
  EXPECT_EQ(plan->entry, Gpa{0x1000010});
  EXPECT_EQ(plan->command_line_max, 2047u);
}

TEST(ElfImageTest, VirtualEntryBecomesPhysical) {
  Elf64Parts elf = MakeElf64();
  elf.segments[0].p_vaddr = 0xffffffff81000000;
  elf.header.e_entry = 0xffffffff81000020;

  const auto plan = PlanElf(AsFile(elf.Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->entry, Gpa{0x1000020});
}

TEST(ElfImageTest, PhysicalEntryIsPreferredToAVirtualReading) {
  Elf64Parts elf = MakeElf64();
  elf.segments[0].p_vaddr = 0xffffffff81000000;
  // Like Linux' per-CPU segment, whose virtual addresses start at zero.
  auto& percpu = elf.Add(PT_LOAD, Elf64Parts::kBody, 0, 0x100, 0x2000000);
  percpu.p_paddr = 0x2000000;

  const auto plan = PlanElf(AsFile(elf.Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->entry, Gpa{0x1000010});
}

TEST(ElfImageTest, PvhNoteIsPreferred) {
  Elf64Parts elf = MakeElf64();
  AddNotes(elf, Pvh(0x1000040));

  const auto plan = PlanElf(AsFile(elf.Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->protocol, BootProtocol::kPvh);
  EXPECT_EQ(plan->entry, Gpa{0x1000040});
  EXPECT_GT(plan->command_line_max, 2047u);
}

TEST(ElfImageTest, LinuxNotesBringLinuxCommandLineLimit) {
  Elf64Parts elf = MakeElf64();
  Bytes notes = Note("Linux", 0x101, Bytes(4));
  const Bytes pvh = Pvh(0x1000040);
  notes.insert(notes.end(), pvh.begin(), pvh.end());
  AddNotes(elf, notes);

  const auto plan = PlanElf(AsFile(elf.Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->protocol, BootProtocol::kPvh);
  EXPECT_EQ(plan->command_line_max, 2047u);
}

TEST(ElfImageTest, NoteWithEightBytesIsUnderstood) {
  Elf64Parts elf = MakeElf64();
  Bytes descriptor;
  Poke(descriptor, 0, uint64_t{0x1000040});
  AddNotes(elf, Note("Xen", 18, descriptor));

  const auto plan = PlanElf(AsFile(elf.Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->entry, Gpa{0x1000040});
}

TEST(ElfImageTest, ForeignNotesAreSkipped) {
  Elf64Parts elf = MakeElf64();
  Bytes notes = Note("GNU", 18, Bytes(20));
  const Bytes other = Note("Xen", 17, Bytes(4));
  notes.insert(notes.end(), other.begin(), other.end());
  AddNotes(elf, notes);

  const auto plan = PlanElf(AsFile(elf.Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->protocol, BootProtocol::kLinux64);
}

TEST(ElfImageTest, ThirtyTwoBitFileWithoutAnEntryProtocolIsRefused) {
  EXPECT_THAT(Refusal(MakeElf32().Build()),
              HasSubstr("neither a multiboot header nor a PVH note"));
}

TEST(ElfImageTest, ForeignMachineIsNamed) {
  Elf64Parts elf = MakeElf64();
  elf.header.e_machine = EM_AARCH64;
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("machine 183 (aarch64)"));
}

TEST(ElfImageTest, BigEndianFileIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.header.e_ident[EI_DATA] = ELFDATA2MSB;
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("big-endian"));
}

TEST(ElfImageTest, ObjectFileIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.header.e_type = ET_REL;
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("not an executable"));
}

TEST(ElfImageTest, MagicAloneIsRefused) {
  Bytes bytes(4);
  std::memcpy(bytes.data(), ELFMAG, SELFMAG);
  EXPECT_TRUE(IsElf(AsFile(bytes)));
  EXPECT_THAT(Refusal(bytes), HasSubstr("truncated ELF"));
}

TEST(ElfImageTest, HeaderCutInTheMiddleIsRefused) {
  Bytes bytes = MakeElf64().Build();
  bytes.resize(sizeof(Elf64_Ehdr) - 1);
  EXPECT_THAT(Refusal(bytes), HasSubstr("truncated ELF"));
}

TEST(ElfImageTest, WrongEntrySizeOfTheTableIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.header.e_phentsize = sizeof(Elf32_Phdr);
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("program headers of 32 bytes"));
}

TEST(ElfImageTest, ExtendedNumberOfSegmentsIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.header.e_phnum = PN_XNUM;
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("65535 program headers"));
}

TEST(ElfImageTest, NoSegmentsIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.header.e_phnum = 0;
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("0 program headers"));
}

TEST(ElfImageTest, TableBeyondTheFileIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.header.e_phoff = UINT64_MAX - 8;
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("damaged ELF"));
}

TEST(ElfImageTest, SegmentBeyondTheFileIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.segments[0].p_offset = UINT64_MAX - 0x80;
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("truncated ELF"));
}

TEST(ElfImageTest, SegmentLargerInTheFileThanInMemoryIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.segments[0].p_memsz = 0x80;
  EXPECT_THAT(Refusal(elf.Build()),
              HasSubstr("256 bytes in the file and 128 in memory"));
}

TEST(ElfImageTest, NothingToLoadIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.segments[0].p_type = PT_NULL;
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("nothing to load"));
}

TEST(ElfImageTest, EmptySegmentIsSkipped) {
  Elf64Parts elf = MakeElf64();
  elf.Add(PT_LOAD, UINT64_MAX, UINT64_MAX, 0, 0);

  const auto plan = PlanElf(AsFile(elf.Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->segments.size(), 1u);
}

TEST(ElfImageTest, EntryOutsideOfEverySegmentIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.header.e_entry = 0x5000000;
  EXPECT_THAT(Refusal(elf.Build()),
              HasSubstr("entry point 0x5000000 lies in none"));
}

TEST(ElfImageTest, PvhEntryOutsideOfEverySegmentIsRefused) {
  Elf64Parts elf = MakeElf64();
  AddNotes(elf, Pvh(0x10));
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("entry point 0x10"));
}

TEST(ElfImageTest, PvhEntryAbove4GiBIsRefused) {
  Elf64Parts elf = MakeElf64();
  Bytes descriptor;
  Poke(descriptor, 0, uint64_t{0x100000000});
  AddNotes(elf, Note("Xen", 18, descriptor));
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("no 32-bit address"));
}

TEST(ElfImageTest, PvhNoteOfAWrongSizeIsRefused) {
  Elf64Parts elf = MakeElf64();
  AddNotes(elf, Note("Xen", 18, Bytes(3)));
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("no 32-bit address"));
}

TEST(ElfImageTest, NoteNameBeyondItsSegmentIsRefused) {
  for (const uint32_t size : {5u, 0x1000u, 0xfffffffdu, 0xffffffffu}) {
    Elf64Parts elf = MakeElf64();
    Bytes notes = Pvh(0x1000040);
    notes.resize(16);
    Poke(notes, 0, size);
    AddNotes(elf, notes);
    EXPECT_THAT(Refusal(elf.Build()), HasSubstr("runs past its segment"));
  }
}

TEST(ElfImageTest, NoteDescriptorBeyondItsSegmentIsRefused) {
  for (const uint32_t size : {5u, 0x1000u, 0xfffffffdu, 0xffffffffu}) {
    Elf64Parts elf = MakeElf64();
    Bytes notes = Pvh(0x1000040);
    Poke(notes, 4, size);
    AddNotes(elf, notes);
    EXPECT_THAT(Refusal(elf.Build()), HasSubstr("runs past its segment"));
  }
}

TEST(ElfImageTest, NoteSegmentBeyondTheFileIsRefused) {
  Elf64Parts elf = MakeElf64();
  AddNotes(elf, Pvh(0x1000040));
  elf.segments[1].p_filesz = 0x1000;
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("notes of 4096 bytes"));
}

TEST(ElfImageTest, HugeNoteSegmentIsRefused) {
  Elf64Parts elf = MakeElf64();
  AddNotes(elf, Bytes((1 << 20) + 4));
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("damaged ELF: notes"));
}

TEST(ElfImageTest, NotesWithoutANameDoNotStopTheWalk) {
  Elf64Parts elf = MakeElf64();
  Bytes notes(12);  // namesz 0, descsz 0
  const Bytes pvh = Pvh(0x1000040);
  notes.insert(notes.end(), pvh.begin(), pvh.end());
  AddNotes(elf, notes);

  const auto plan = PlanElf(AsFile(elf.Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->protocol, BootProtocol::kPvh);
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
