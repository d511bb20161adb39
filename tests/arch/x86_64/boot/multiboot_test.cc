// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/multiboot.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/arch/x86_64/boot/images.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::arch::x86_64 {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kMagic = 0x1badb002;
constexpr uint32_t kAddresses = 1u << 16;

void PokeHeader(Bytes& bytes, size_t offset, uint32_t flags) {
  Poke(bytes, offset, kMagic);
  Poke(bytes, offset + 4, flags);
  Poke(bytes, offset + 8, 0u - kMagic - flags);
}

Bytes Elf(uint32_t flags) {
  Elf32Parts elf = MakeElf32();
  PokeHeader(elf.body, 0x20, flags);
  return elf.Build();
}

// A file without ELF headers, loaded by the addresses in its header, which
// lies at offset 0x40.
struct FlatParts {
  uint32_t header = 0x1000040;
  uint32_t load = 0x1000000;
  uint32_t load_end = 0x1000100;
  uint32_t bss_end = 0x1001000;
  uint32_t entry = 0x1000080;
  Bytes Build() const {
    Bytes out(0x100);
    PokeHeader(out, 0x40, kAddresses);
    const uint32_t fields[] = {header, load, load_end, bss_end, entry};
    for (size_t i = 0; i < 5; ++i) Poke(out, 0x4c + 4 * i, fields[i]);
    return out;
  }
};

std::string Refusal(const Bytes& bytes) {
  const auto plan = PlanMultiboot(AsFile(bytes));
  EXPECT_EQ(ExitStatusFor(plan.status()), 65);
  return Message(plan.status());
}

template <typename T>
T At(const std::vector<std::byte>& bytes, size_t offset) {
  T value{};
  EXPECT_LE(offset + sizeof(T), bytes.size());
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

TEST(MultibootTest, ElfIsLoadedBySegments) {
  const auto plan = PlanMultiboot(AsFile(Elf(0)));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->protocol, BootProtocol::kMultiboot);
  EXPECT_EQ(plan->entry, Gpa{0x1000010});
  ASSERT_EQ(plan->segments.size(), 1u);
  EXPECT_EQ(plan->segments[0].at, Gpa{0x1000000});
}

TEST(MultibootTest, WrongChecksumIsNoHeader) {
  Bytes bytes = Elf(0);
  Poke(bytes, Elf32Parts::kBody + 0x28, uint32_t{1});
  EXPECT_FALSE(IsMultiboot(AsFile(bytes)));
}

TEST(MultibootTest, HeaderBehind8KiBIsNotSearched) {
  Bytes bytes(16384);
  PokeHeader(bytes, 8192 - 12, 0);
  EXPECT_TRUE(IsMultiboot(AsFile(bytes)));

  Bytes late(16384);
  PokeHeader(late, 8192 - 8, 0);
  EXPECT_FALSE(IsMultiboot(AsFile(late)));
}

TEST(MultibootTest, HeaderCutByTheEndOfTheFileIsNone) {
  Bytes bytes(0x40);
  PokeHeader(bytes, 0x40, 0);
  bytes.resize(0x4b);
  EXPECT_FALSE(IsMultiboot(AsFile(bytes)));
  EXPECT_FALSE(IsMultiboot(AsFile(Bytes(3))));
  EXPECT_FALSE(PlanMultiboot(AsFile(bytes)).ok());
}

TEST(MultibootTest, DemandsThatKvmletMeetsAreAccepted) {
  EXPECT_TRUE(PlanMultiboot(AsFile(Elf(0x3))).ok());
}

TEST(MultibootTest, OtherDemandsAreRefused) {
  EXPECT_THAT(Refusal(Elf(0x4)), HasSubstr("demands features 0x4"));
}

TEST(MultibootTest, SixtyFourBitElfHasARemedy) {
  Elf64Parts elf = MakeElf64();
  PokeHeader(elf.body, 0x20, 0);
  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("objcopy"));
}

TEST(MultibootTest, AddressFieldsSayWhatGoesWhere) {
  const auto plan = PlanMultiboot(AsFile(FlatParts().Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->segments.size(), 1u);
  EXPECT_EQ(plan->segments[0].file_offset, 0u);
  EXPECT_EQ(plan->segments[0].file_size, 0x100u);
  EXPECT_EQ(plan->segments[0].memory_size, 0x1000u);
  EXPECT_EQ(plan->segments[0].at, Gpa{0x1000000});
  EXPECT_EQ(plan->entry, Gpa{0x1000080});
}

TEST(MultibootTest, ZeroLoadEndMeansTheWholeFile) {
  FlatParts parts;
  parts.load_end = 0;
  parts.bss_end = 0;

  const auto plan = PlanMultiboot(AsFile(parts.Build()));

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->segments[0].file_size, 0x100u);
  EXPECT_EQ(plan->segments[0].memory_size, 0x100u);
}

TEST(MultibootTest, AddressesOutOfOrderAreRefused) {
  FlatParts header_below_load;
  header_below_load.header = 0xffffff;
  EXPECT_THAT(Refusal(header_below_load.Build()), HasSubstr("damaged"));
  FlatParts end_below_load;
  end_below_load.load_end = 0x100;
  EXPECT_THAT(Refusal(end_below_load.Build()), HasSubstr("damaged"));
  FlatParts bss_below_end;
  bss_below_end.bss_end = 0x1000001;
  EXPECT_THAT(Refusal(bss_below_end.Build()), HasSubstr("damaged"));
}

TEST(MultibootTest, HeaderFurtherInMemoryThanInTheFileIsRefused) {
  FlatParts parts;
  parts.header = 0x1000044;
  EXPECT_THAT(Refusal(parts.Build()), HasSubstr("damaged"));
}

TEST(MultibootTest, LoadRangeBeyondTheFileIsRefused) {
  FlatParts parts;
  parts.load_end = 0xffffffff;
  parts.bss_end = 0;
  EXPECT_THAT(Refusal(parts.Build()), HasSubstr("truncated"));
}

TEST(MultibootTest, EntryOutsideTheImageIsRefused) {
  FlatParts parts;
  parts.entry = 0x2000000;
  EXPECT_THAT(Refusal(parts.Build()), HasSubstr("entry point"));
}

TEST(MultibootTest, AddressFieldsCutOffAreRefused) {
  Bytes bytes(0x40);
  PokeHeader(bytes, 0x40, kAddresses);
  EXPECT_THAT(Refusal(bytes), HasSubstr("truncated multiboot header"));
}

TEST(MultibootInfoTest, HoldsCommandLineModuleAndMap) {
  const std::vector<E820Entry> map = MakeMap();
  const MultibootModule module{Gpa{0x3000000}, Gpa{0x3000123}};

  const auto info =
      BuildMultibootInfo(Gpa{0x1f000}, Gpa{0x20000}, &module, map);

  EXPECT_EQ(At<uint32_t>(info, 0), 0x4du);  // memory, line, modules, map
  EXPECT_EQ(At<uint32_t>(info, 4), 639u);
  EXPECT_EQ(At<uint32_t>(info, 8), (kTestRam >> 10) - 1024);
  EXPECT_EQ(At<uint32_t>(info, 16), 0x20000u);
  EXPECT_EQ(At<uint32_t>(info, 20), 1u);
  const uint32_t modules = At<uint32_t>(info, 24) - 0x1f000;
  EXPECT_EQ(At<uint32_t>(info, modules), 0x3000000u);
  EXPECT_EQ(At<uint32_t>(info, modules + 4), 0x3000123u);
  EXPECT_EQ(At<uint32_t>(info, 44), 3u * 24);
  const uint32_t entries = At<uint32_t>(info, 48) - 0x1f000;
  EXPECT_EQ(At<uint32_t>(info, entries + 24), 20u);
  EXPECT_EQ(At<uint64_t>(info, entries + 28), 0x9fc00u);
  EXPECT_EQ(At<uint64_t>(info, entries + 36), 0x60400u);
  EXPECT_EQ(At<uint32_t>(info, entries + 44), 2u);
  EXPECT_EQ(entries + 3 * 24, info.size());
}

TEST(MultibootInfoTest, WithoutAnInitrdThereIsNoModule) {
  const auto info =
      BuildMultibootInfo(Gpa{0x1f000}, Gpa{0x20000}, nullptr, MakeMap());

  EXPECT_EQ(At<uint32_t>(info, 0), 0x45u);
  EXPECT_EQ(At<uint32_t>(info, 20), 0u);
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
