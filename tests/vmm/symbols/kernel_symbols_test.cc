// SPDX-License-Identifier: Apache-2.0
// Symbols out of ELF files and lists, and of damaged ones.
#include "vmm/symbols/kernel_symbols.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/vmm/symbols/symbol_elf.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

constexpr unsigned char kLocalLabel = ELF64_ST_INFO(STB_LOCAL, STT_NOTYPE);
constexpr unsigned char kGlobalObject = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);

const std::string kList =
    "0000000000000000 A fixed_percpu_data\n"
    "ffffffff81000000 T _text\n"
    "ffffffff81000100 t helper\n"
    "ffffffff81000100 T known\r\n"
    "ffffffff81000200 D data\n"
    "ffffffff81000300 W weak\n"
    "ffffffffc0000000 t probe\t[pvpanic]\n"
    "ffffffffc0000010 t known\t[pvpanic]\n";

std::string ErrorOf(const std::string& text) {
  const auto symbols = ParseSymbols(text);
  EXPECT_FALSE(symbols.ok());
  return std::string(symbols.status().message());
}

std::string NameAt(const KernelSymbols& symbols, uint64_t address) {
  const auto place = symbols.Find(address);
  return place ? std::string(place->name) : "";
}

TEST(KernelSymbolsTest, ReadsAnElfFile) {
  const auto symbols =
      ParseSymbols(SymbolElf({{"second", 0x1100},
                              {"$x", 0x1000},
                              {".Lhere", 0x1000},
                              {"label", 0x1000, kLocalLabel},
                              {"first", 0x1000},
                              {"object", 0x1180, kGlobalObject, 1},
                              {"elsewhere", 0x1200, kGlobalObject, 2},
                              {"missing", 0x1300, kLocalLabel, SHN_UNDEF}}));
  ASSERT_TRUE(symbols.ok()) << symbols.status();
  EXPECT_EQ((*symbols)->format(), SymbolFormat::kElf);
  EXPECT_EQ((*symbols)->AddressOf("label"), 0x1000u);
  EXPECT_EQ((*symbols)->AddressOf("elsewhere"), 0x1200u);
  EXPECT_EQ((*symbols)->AddressOf("missing"), std::nullopt);
  EXPECT_EQ((*symbols)->AddressOf("$x"), std::nullopt);
  const auto place = (*symbols)->Find(0x1012);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->name, "first");
  EXPECT_EQ(place->offset, 0x12u);
  EXPECT_EQ(place->size, 0x100u);
  // Neither data nor what no section of code holds.
  EXPECT_EQ(NameAt(**symbols, 0x1190), "second");
  EXPECT_EQ(NameAt(**symbols, 0xfff), "");
  EXPECT_EQ(NameAt(**symbols, 0x1100 + (1 << 20)), "");
  EXPECT_EQ((*symbols)->FindSection(".orc_unwind").address, 0x9000u);
  EXPECT_EQ((*symbols)->FindSection(".orc_unwind").bytes.size(), 12u);
  EXPECT_TRUE((*symbols)->FindSection(".text").bytes.empty());
}

TEST(KernelSymbolsTest, ReadsAListAndItsModules) {
  const auto symbols = ParseSymbols(kList);
  ASSERT_TRUE(symbols.ok()) << symbols.status();
  EXPECT_EQ((*symbols)->format(), SymbolFormat::kText);
  EXPECT_EQ((*symbols)->AddressOf("data"), 0xffffffff81000200u);
  EXPECT_EQ((*symbols)->AddressOf("fixed_percpu_data"), 0u);
  // The kernel's own, not the module's.
  EXPECT_EQ((*symbols)->AddressOf("known"), 0xffffffff81000100u);
  EXPECT_EQ(NameAt(**symbols, 0xffffffff81000101), "known");
  EXPECT_EQ(NameAt(**symbols, 0xffffffff81000250), "known");
  EXPECT_EQ(NameAt(**symbols, 0xffffffff81000300), "weak");
  const auto place = (*symbols)->Find(0xffffffffc0000004);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->module, "pvpanic");
  EXPECT_EQ(place->offset, 4u);
  EXPECT_EQ(NameAt(**symbols, 4), "");
}

// How long the last function is nobody knows; its page is its module's.
TEST(KernelSymbolsTest, NamesEndWithTheirModule) {
  const auto symbols = ParseSymbols(kList +
                                    "ffffffffc0003800 t a [loop]\n"
                                    "ffffffffc0004810 t b [loop]\n");
  ASSERT_TRUE(symbols.ok()) << symbols.status();
  EXPECT_EQ(NameAt(**symbols, 0xffffffff81000fff), "weak");
  EXPECT_EQ(NameAt(**symbols, 0xffffffff81001000), "");
  EXPECT_EQ(NameAt(**symbols, 0xffffffffc0000fff), "known");
  EXPECT_EQ(NameAt(**symbols, 0xffffffffc0001000), "");
  EXPECT_EQ(NameAt(**symbols, 0xffffffffc000480f), "a");
  EXPECT_EQ(NameAt(**symbols, 0xffffffffc0004fff), "b");
  EXPECT_EQ(NameAt(**symbols, 0xffffffffc0005000), "");
}

TEST(KernelSymbolsTest, SaysWhatAFileLacks) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("empty"));
  EXPECT_THAT(ErrorOf(std::string(1000, 'x')), HasSubstr("neither an ELF"));
  EXPECT_THAT(ErrorOf("ffffffff81000000 T a\nffff\n"), HasSubstr("symbol 2"));
  EXPECT_THAT(ErrorOf("0000000000000000 T a\n0000000000000000 t b\n"),
              HasSubstr("kptr_restrict"));
  EXPECT_THAT(ErrorOf("ffffffff81000000 D a\n"), HasSubstr("kptr_restrict"));
  EXPECT_THAT(ErrorOf(SymbolElf({})), HasSubstr("stripped"));
  EXPECT_THAT(ErrorOf(SymbolElf({{"a", 0}})), HasSubstr("stripped"));
}

TEST(KernelSymbolsTest, AnElfFileOfAnotherMachineIsRefused) {
  std::string elf = SymbolElf({{"a", 0x1000}});
  elf[18] = static_cast<char>(EM_AARCH64 & 0xff);
  EXPECT_THAT(ErrorOf(elf), HasSubstr("machine"));
  elf = SymbolElf({{"a", 0x1000}});
  elf[EI_CLASS] = ELFCLASS32;
  EXPECT_THAT(ErrorOf(elf), HasSubstr("64-bit"));
}

TEST(KernelSymbolsTest, CutOffAnywhereItIsAnError) {
  const std::string elf = SymbolElf({{"first", 0x1000}, {"second", 0x1100}});
  ASSERT_TRUE(ParseSymbols(elf).ok());
  for (size_t size = 0; size < elf.size(); ++size) {
    EXPECT_FALSE(ParseSymbols(elf.substr(0, size)).ok()) << size;
  }
}

// Every byte of the headers and of the symbols, as it should not be.
TEST(KernelSymbolsTest, DamageIsHarmless) {
  const std::string elf = SymbolElf({{"first", 0x1000}, {"second", 0x1100}});
  for (size_t at = 0; at < elf.size(); ++at) {
    for (const int value : {0, 1, 0x7f, 0x80, 0xff}) {
      std::string damaged = elf;
      damaged[at] = static_cast<char>(value);
      const auto symbols = ParseSymbols(damaged);
      if (!symbols.ok()) continue;
      (*symbols)->Find(0x1012);
      (*symbols)->AddressOf("first");
    }
  }
}

// Names go to the terminal, and are searched.
TEST(KernelSymbolsTest, NamesArePrintableAndShort) {
  const auto symbols =
      ParseSymbols(SymbolElf({{"good", 0x1000},
                              {"\x1b[2J", 0x1100},
                              {"new\nline", 0x1200},
                              {std::string(600, 'a'), 0x1300}}));
  ASSERT_TRUE(symbols.ok()) << symbols.status();
  EXPECT_EQ(NameAt(**symbols, 0x1110), "good");
  EXPECT_EQ(NameAt(**symbols, 0x1210), "good");
  EXPECT_EQ(NameAt(**symbols, 0x1310), std::string(512, 'a'));
  EXPECT_THAT(ErrorOf("ffffffff81000000 T a\x1b[2J\n"), HasSubstr("symbol 1"));
  EXPECT_THAT(ErrorOf("ffffffff81000000 T a [\x07]\n"), HasSubstr("symbol 1"));
}

TEST(KernelSymbolsTest, AFileThatCannotBeReadIsAnError) {
  const std::string elf = SymbolElf({{"first", 0x1000}});
  SymbolBytes bytes = BytesOf(elf);
  int left = 0;
  const auto read = bytes.read;
  bytes.read = [&](uint64_t offset, std::span<std::byte> out) {
    return left-- > 0 && read(offset, out);
  };
  int reads = 0;
  for (; reads < 100; ++reads) {
    left = reads;
    if (KernelSymbols::Parse(bytes, kTestMachine).ok()) break;
  }
  EXPECT_GT(reads, 3);
  EXPECT_LT(reads, 100);
}

}  // namespace
}  // namespace kvmlet
