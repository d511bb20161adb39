// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/boot.h"

#include <optional>
#include <string>

#include "arch/x86_64/boot_pvh.h"
#include "arch/x86_64/layout.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/arch/x86_64/boot/images.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::arch::x86_64 {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class BootTest : public ::testing::Test {
 protected:
  absl::StatusOr<BootEntry> Load(const Bytes& kernel) {
    auto image = KernelImage::FromBytes("k", kernel);
    if (!image.ok()) return image.status();
    options_.memory_map = map_;
    return LoadGuest(memory_, *image, initrd_ ? &*initrd_ : nullptr, options_);
  }
  std::string Refusal(const Bytes& kernel) {
    const auto entry = Load(kernel);
    EXPECT_EQ(ExitStatusFor(entry.status()), 65);
    return Message(entry.status());
  }
  void SetInitrd(size_t size) {
    initrd_ = BootFile::FromBytes("--initrd", "i", Bytes(size, std::byte{7}));
  }
  template <typename T>
  T At(uint64_t address) {
    return memory_.Load<T>(Gpa{address}).value_or(T{});
  }
  std::string CommandLine() {
    std::string text;
    for (uint64_t at = kCommandLine; At<char>(at) != '\0'; ++at) {
      text.push_back(At<char>(at));
    }
    return text;
  }

  GuestMemory memory_ = MakeRam();
  std::vector<E820Entry> map_ = MakeMap();
  std::optional<BootFile> initrd_;
  BootOptions options_{"console=ttyS0", {}, Gpa{0xe0000}};
};

Bytes PvhKernel() {
  Elf64Parts elf = MakeElf64();
  AddNotes(elf, Pvh(0x1000040));
  return elf.Build();
}

Bytes MultibootKernel(uint32_t address = 0x1000000) {
  Elf32Parts elf = MakeElf32();
  elf.segments[0].p_paddr = address;
  elf.header.e_entry = address + 0x10;
  Poke(elf.body, 0x20, uint32_t{0x1badb002});
  Poke(elf.body, 0x24, uint32_t{0});
  Poke(elf.body, 0x28, 0u - 0x1badb002);
  return elf.Build();
}

TEST_F(BootTest, BzImageIsEnteredInLongMode) {
  const auto entry = Load(BzImageParts().Build());

  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->protocol, BootProtocol::kLinux64);
  EXPECT_EQ(entry->rip, Gpa{0x1000200});
  EXPECT_EQ(entry->info, Gpa{kZeroPage});
  EXPECT_EQ(At<uint8_t>(0x1000000 + 0x1234), 0x34);
}

TEST_F(BootTest, BzImageFindsItsZeroPage) {
  SetInitrd(0x1234);

  ASSERT_TRUE(Load(BzImageParts().Build()).ok());

  const auto page = At<boot_params>(kZeroPage);
  EXPECT_EQ(+page.hdr.version, 0x20f);
  EXPECT_EQ(+page.hdr.cmd_line_ptr, kCommandLine);
  EXPECT_EQ(+page.hdr.ramdisk_image, kTestRam - 0x2000);
  EXPECT_EQ(+page.hdr.ramdisk_size, 0x1234u);
  EXPECT_EQ(+page.acpi_rsdp_addr, 0xe0000u);
  EXPECT_EQ(page.e820_entries, 3);
  EXPECT_EQ(CommandLine(), "console=ttyS0");
}

TEST_F(BootTest, LongModeFindsItsTables) {
  ASSERT_TRUE(Load(BzImageParts().Build()).ok());

  EXPECT_EQ(At<uint64_t>(kBootGdt + 0x10), 0x00af9b000000ffffu);
  EXPECT_EQ(At<uint64_t>(kBootPageTables), (kBootPageTables + 0x1000) | 3);
}

TEST_F(BootTest, VmlinuxIsEnteredInLongModeWithAZeroPage) {
  const auto entry = Load(MakeElf64().Build());

  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->protocol, BootProtocol::kLinux64);
  EXPECT_EQ(entry->rip, Gpa{0x1000010});
  EXPECT_EQ(At<uint32_t>(kZeroPage + 0x202), 0x53726448u);
  EXPECT_EQ(At<uint8_t>(0x1000042), 0x42);
}

TEST_F(BootTest, PvhFindsItsStartInfo) {
  SetInitrd(0x1000);

  const auto entry = Load(PvhKernel());

  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->protocol, BootProtocol::kPvh);
  EXPECT_EQ(entry->info, Gpa{kPvhStartInfo});
  const auto info = At<PvhStartInfo>(kPvhStartInfo);
  EXPECT_EQ(info.magic, kPvhMagic);
  EXPECT_EQ(info.version, 1u);
  EXPECT_EQ(info.command_line, kCommandLine);
  EXPECT_EQ(info.rsdp, 0xe0000u);
  ASSERT_EQ(info.module_count, 1u);
  EXPECT_EQ(At<PvhModule>(info.modules).address, kTestRam - 0x1000);
  EXPECT_EQ(At<PvhModule>(info.modules).size, 0x1000u);
  ASSERT_EQ(info.memory_map_entries, 3u);
  const auto third = At<PvhMemoryMapEntry>(info.memory_map + 48);
  EXPECT_EQ(third.address, 0x100000u);
  EXPECT_EQ(third.size, kTestRam - 0x100000);
  EXPECT_EQ(third.type, 1u);
}

TEST_F(BootTest, PvhWithoutAnInitrdHasNoModule) {
  ASSERT_TRUE(Load(PvhKernel()).ok());

  EXPECT_EQ(At<PvhStartInfo>(kPvhStartInfo).module_count, 0u);
}

TEST_F(BootTest, MultibootGetsItsNameFirstAndTheInitrdAsModule) {
  SetInitrd(0x10);

  const auto entry = Load(MultibootKernel());

  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->protocol, BootProtocol::kMultiboot);
  EXPECT_EQ(entry->info, Gpa{kMultibootInfo});
  EXPECT_EQ(CommandLine(), "k console=ttyS0");
  EXPECT_EQ(At<uint32_t>(kMultibootInfo + 20), 1u);
  EXPECT_EQ(At<uint32_t>(At<uint32_t>(kMultibootInfo + 24)), kTestRam - 0x1000);
}

TEST_F(BootTest, MultibootKernelMayLieLow) {
  EXPECT_TRUE(Load(MultibootKernel(0x4000)).ok());
}

TEST_F(BootTest, InitrdBytesArriveWhole) {
  SetInitrd(0x1801);

  ASSERT_TRUE(Load(BzImageParts().Build()).ok());

  EXPECT_EQ(At<uint8_t>(kTestRam - 0x2001), 0);
  EXPECT_EQ(At<uint8_t>(kTestRam - 0x2000), 7);
  EXPECT_EQ(At<uint8_t>(kTestRam - 0x2000 + 0x1800), 7);
  EXPECT_EQ(At<uint8_t>(kTestRam - 0x2000 + 0x1801), 0);
}

TEST_F(BootTest, InitrdStaysBelowTheKernelsLimit) {
  BzImageParts parts;
  parts.header.initrd_addr_max = 0x1ffffff;
  SetInitrd(0x1000);

  ASSERT_TRUE(Load(parts.Build()).ok());

  EXPECT_EQ(At<uint32_t>(kZeroPage + 0x218), 0x1fff000u);
}

TEST_F(BootTest, InitrdThatDoesNotFitIsRefused) {
  SetInitrd(kTestRam);
  EXPECT_THAT(Refusal(BzImageParts().Build()), StartsWith("--initrd i: "));
}

TEST_F(BootTest, InitrdMayNotLieWhereTheKernelUnpacks) {
  BzImageParts parts;
  parts.header.init_size = kTestRam - 0x1000000;
  SetInitrd(0x1000);

  ASSERT_TRUE(Load(parts.Build()).ok());

  EXPECT_EQ(At<uint32_t>(kZeroPage + 0x218), 0x1000000u - 0x1000);
}

TEST_F(BootTest, CommandLineMayFillTheKernelsLimit) {
  options_.command_line = std::string(2047, 'x');
  ASSERT_TRUE(Load(BzImageParts().Build()).ok());
  EXPECT_EQ(CommandLine().size(), 2047u);
}

TEST_F(BootTest, LongerCommandLineIsRefusedWithNumbers) {
  options_.command_line = std::string(2048, 'x');
  EXPECT_EQ(Refusal(BzImageParts().Build()),
            "--append: the command line is 2048 bytes long, k takes at most "
            "2047");
}

TEST_F(BootTest, LayoutLimitsTheCommandLineToo) {
  BzImageParts parts;
  parts.header.cmdline_size = 0xffffffff;
  options_.command_line = std::string(kCommandLineMax, 'x');
  EXPECT_THAT(Refusal(parts.Build()), HasSubstr("at most 65535"));
  options_.command_line.pop_back();
  EXPECT_TRUE(Load(parts.Build()).ok());
}

TEST_F(BootTest, CommandLineWithANulIsRefused) {
  options_.command_line = std::string("a\0b", 3);
  EXPECT_THAT(Refusal(BzImageParts().Build()), HasSubstr("NUL"));
}

TEST_F(BootTest, KernelLargerThanMemoryIsRefusedWithNumbers) {
  BzImageParts parts;
  parts.header.init_size = 512u << 20;
  const std::string message = Refusal(parts.Build());
  EXPECT_THAT(message, StartsWith("--kernel k: it needs 536870912 bytes"));
  EXPECT_THAT(message, HasSubstr("the guest has 63 MiB"));
}

TEST_F(BootTest, HugeInitSizeIsRefused) {
  BzImageParts parts;
  parts.header.init_size = 0xffffffff;
  EXPECT_THAT(Refusal(parts.Build()), HasSubstr("--memory"));
}

TEST_F(BootTest, HugePreferredAddressIsRefused) {
  for (const uint64_t at : {uint64_t{0x4000000}, uint64_t{0x100000000},
                            UINT64_MAX - 0x1000, UINT64_MAX}) {
    BzImageParts parts;
    parts.header.pref_address = at;
    EXPECT_THAT(Refusal(parts.Build()), HasSubstr("--memory"));
  }
}

TEST_F(BootTest, SegmentSizesThatWrapAreRefused) {
  for (const uint64_t size : {UINT64_MAX, UINT64_MAX - 0x1000000,
                              uint64_t{1} << 63, uint64_t{1} << 32}) {
    Elf64Parts elf = MakeElf64();
    elf.segments[0].p_memsz = size;
    EXPECT_THAT(Refusal(elf.Build()), HasSubstr("not all RAM"));
  }
}

TEST_F(BootTest, SegmentAddressesThatWrapAreRefused) {
  for (const uint64_t at : {UINT64_MAX, UINT64_MAX - 0xff, kTestRam - 1}) {
    Elf64Parts elf = MakeElf64();
    elf.Add(PT_LOAD, Elf64Parts::kBody, at, 0x100, 0x100);
    EXPECT_THAT(Refusal(elf.Build()), HasSubstr("not all RAM"));
  }
}

TEST_F(BootTest, SegmentOverBootStructuresIsRefused) {
  const std::pair<uint64_t, const char*> cases[] = {
      {kBootGdt, "the boot GDT"},
      {kZeroPage + 0x800, "the zero page"},
      {kBootPageTables + 0x5f00, "the boot page tables"},
      {kCommandLine, "the command line"},
  };
  for (const auto& [at, name] : cases) {
    Elf64Parts elf = MakeElf64();
    elf.Add(PT_LOAD, Elf64Parts::kBody, at, 0x10, 0x10);
    EXPECT_THAT(Refusal(elf.Build()), HasSubstr(name));
  }
}

TEST_F(BootTest, SegmentOverThePvhStartInfoIsRefused) {
  Elf64Parts elf = MakeElf64();
  AddNotes(elf, Pvh(0x1000040));
  elf.Add(PT_LOAD, Elf64Parts::kBody, kPvhMemoryMap, 0x10, 0x10);
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("the PVH start info"));
}

TEST_F(BootTest, SegmentOverTheMultibootInformationIsRefused) {
  EXPECT_THAT(Refusal(MultibootKernel(kMultibootInfo)),
              HasSubstr("the multiboot information"));
}

TEST_F(BootTest, SegmentOverTheAcpiTablesIsRefused) {
  Elf64Parts elf = MakeElf64();
  elf.Add(PT_LOAD, Elf64Parts::kBody, kAcpiTables, 0x10, 0x10);
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("not all RAM"));
}

TEST_F(BootTest, SegmentsOverEachOtherAreRefused) {
  Elf64Parts elf = MakeElf64();
  elf.Add(PT_LOAD, Elf64Parts::kBody, 0x10001ff, 0x10, 0x10);
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("overlap --kernel k"));
}

TEST_F(BootTest, TooManyMapEntriesAreABugOfTheCaller) {
  map_.resize(129, E820Entry{Gpa{0}, 0x1000, E820Type::kRam});

  EXPECT_EQ(Load(MakeElf64().Build()).status().code(),
            absl::StatusCode::kInternal);
}

TEST_F(BootTest, SecondLoadAfterDiscardGivesTheSame) {
  SetInitrd(0x1234);
  const auto image = KernelImage::FromBytes("k", PvhKernel());
  ASSERT_TRUE(image.ok()) << image.status();
  options_.memory_map = map_;
  const auto first = LoadGuest(memory_, *image, &*initrd_, options_);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto info = At<PvhStartInfo>(kPvhStartInfo);

  ASSERT_TRUE(memory_.Discard().ok());
  ASSERT_EQ(At<uint32_t>(kPvhStartInfo), 0u);
  const auto second = LoadGuest(memory_, *image, &*initrd_, options_);

  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->rip, first->rip);
  EXPECT_EQ(At<PvhStartInfo>(kPvhStartInfo).modules, info.modules);
  EXPECT_EQ(At<uint8_t>(0x1000042), 0x42);
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
