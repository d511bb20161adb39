// SPDX-License-Identifier: Apache-2.0
// ELF files with symbols, as small as they can be.
#ifndef KVMLET_TESTS_VMM_SYMBOLS_SYMBOL_ELF_H_
#define KVMLET_TESTS_VMM_SYMBOLS_SYMBOL_ELF_H_

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "vmm/symbols/kernel_symbols.h"

namespace kvmlet {

inline constexpr uint16_t kTestMachine = EM_X86_64;

struct TestSymbol {
  std::string name;
  uint64_t address;
  unsigned char info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
  uint16_t section = 1;
};

// Sections: none, .text, .orc_unwind with 12 bytes, .symtab, .strtab,
// .shstrtab.
inline std::string SymbolElf(const std::vector<TestSymbol>& symbols) {
  const auto bytes = [](const auto& value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  std::string names(1, '\0'), table(sizeof(Elf64_Sym), '\0');
  for (const TestSymbol& symbol : symbols) {
    Elf64_Sym raw{};
    raw.st_name = static_cast<Elf64_Word>(names.size());
    raw.st_info = symbol.info;
    raw.st_shndx = symbol.section;
    raw.st_value = symbol.address;
    table += bytes(raw);
    names += symbol.name + '\0';
  }
  const std::string orc = "twelve bytes";
  const std::string section_names(
      "\0.text\0.orc_unwind\0.symtab\0.strtab\0.shstrtab\0", 45);
  const uint64_t at = sizeof(Elf64_Ehdr);
  const uint64_t names_at = at + table.size();
  const uint64_t orc_at = names_at + names.size();
  const uint64_t section_names_at = orc_at + orc.size();
  const Elf64_Shdr sections[] = {
      {},
      {1, SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, at, 0x1000, 0, 0, 1,
       0},
      {7, SHT_PROGBITS, SHF_ALLOC, 0x9000, orc_at, orc.size(), 0, 0, 1, 0},
      {19, SHT_SYMTAB, 0, 0, at, table.size(), 4, 1, 8, sizeof(Elf64_Sym)},
      {27, SHT_STRTAB, 0, 0, names_at, names.size(), 0, 0, 1, 0},
      {35, SHT_STRTAB, 0, 0, section_names_at, section_names.size(), 0, 0, 1,
       0}};
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = kTestMachine;
  header.e_shoff = section_names_at + section_names.size();
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = std::size(sections);
  header.e_shstrndx = 5;
  std::string out = bytes(header) + table + names + orc + section_names;
  for (const Elf64_Shdr& section : sections) out += bytes(section);
  return out;
}

// The text outlives it.
inline SymbolBytes BytesOf(const std::string& text) {
  return {.size = text.size(),
          .read = [&text](uint64_t offset, std::span<std::byte> out) {
            if (out.size() > text.size() || offset > text.size() - out.size()) {
              return false;
            }
            std::memcpy(out.data(), text.data() + offset, out.size());
            return true;
          }};
}

inline absl::StatusOr<std::unique_ptr<KernelSymbols>> ParseSymbols(
    const std::string& text) {
  return KernelSymbols::Parse(BytesOf(text), kTestMachine);
}

}  // namespace kvmlet

#endif  // KVMLET_TESTS_VMM_SYMBOLS_SYMBOL_ELF_H_
