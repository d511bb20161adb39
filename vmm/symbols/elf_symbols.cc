// SPDX-License-Identifier: Apache-2.0
// The ELF half of KernelSymbols: .symtab, its names, and the sections that an
// unwinder wants.
#include <elf.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/symbols/kernel_symbols.h"

namespace kvmlet {
namespace {

// A kernel's largest section of interest has some twenty megabytes.
constexpr uint64_t kMostBytes = 256 << 20;
constexpr uint64_t kMostSections = SHN_LORESERVE - 1;
constexpr uint64_t kMostSymbols = 4 << 20;
// KSYM_NAME_LEN of Linux.
constexpr size_t kLongestName = 512;

bool IsKept(std::string_view name) {
  return name == ".orc_unwind" || name == ".orc_unwind_ip";
}

std::string_view NameAt(std::span<const char> names, uint64_t at) {
  if (at >= names.size()) return {};
  const std::string_view rest(names.data() + at,
                              std::min(names.size() - at, kLongestName));
  return rest.substr(0, rest.find('\0'));
}

absl::StatusOr<std::vector<std::byte>> ReadPart(const SymbolBytes& bytes,
                                                std::string_view what,
                                                uint64_t offset,
                                                uint64_t size) {
  if (size > bytes.size || offset > bytes.size - size) {
    return BadInput(absl::StrFormat(
        "truncated ELF: %s of %u bytes at offset %u, the file has %u",
        std::string(what), size, offset, bytes.size));
  }
  if (size > kMostBytes) {
    return BadInput(absl::StrFormat("damaged ELF: %s of %u bytes",
                                    std::string(what), size));
  }
  std::vector<std::byte> out(size);
  if (!bytes.read(offset, out)) return BadInput("it cannot be read");
  return out;
}

absl::StatusOr<std::vector<Elf64_Shdr>> ReadSections(const SymbolBytes& bytes,
                                                     const Elf64_Ehdr& header) {
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum == 0 ||
      header.e_shnum > kMostSections) {
    return BadInput(absl::StrFormat(
        "an ELF file with %u section headers of %u bytes; a vmlinux has some "
        "ten, of %u",
        header.e_shnum, header.e_shentsize, sizeof(Elf64_Shdr)));
  }
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  KVMLET_ASSIGN_OR_RETURN(const std::vector<std::byte> raw,
                          ReadPart(bytes, "section headers", header.e_shoff,
                                   sections.size() * sizeof(Elf64_Shdr)));
  std::memcpy(sections.data(), raw.data(), raw.size());
  return sections;
}

std::vector<char> AsChars(const std::vector<std::byte>& bytes) {
  std::vector<char> out(bytes.size());
  if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

// Of several at one address the one that people know.
uint8_t RankOf(unsigned char info) {
  const bool function = ELF64_ST_TYPE(info) == STT_FUNC;
  const bool global = ELF64_ST_BIND(info) == STB_GLOBAL;
  return static_cast<uint8_t>((function ? 0 : 2) + (global ? 0 : 1));
}

}  // namespace

absl::Status KernelSymbols::ParseElf(const SymbolBytes& bytes) {
  Elf64_Ehdr header;
  KVMLET_ASSIGN_OR_RETURN(const std::vector<std::byte> start,
                          ReadPart(bytes, "a header", 0, sizeof(header)));
  std::memcpy(&header, start.data(), sizeof(header));
  KVMLET_ASSIGN_OR_RETURN(const std::vector<Elf64_Shdr> sections,
                          ReadSections(bytes, header));
  std::vector<char> names;
  if (header.e_shstrndx < sections.size()) {
    const Elf64_Shdr& section = sections[header.e_shstrndx];
    KVMLET_ASSIGN_OR_RETURN(
        const std::vector<std::byte> raw,
        ReadPart(bytes, "section names", section.sh_offset, section.sh_size));
    names = AsChars(raw);
  }
  std::vector<bool> executable;
  std::vector<std::byte> table;
  bool has_table = false;
  for (const Elf64_Shdr& section : sections) {
    executable.push_back((section.sh_flags & SHF_EXECINSTR) != 0);
    const std::string_view name = NameAt(names, section.sh_name);
    if (section.sh_type == SHT_PROGBITS && IsKept(name) &&
        !sections_.contains(std::string(name))) {
      KVMLET_ASSIGN_OR_RETURN(
          std::vector<std::byte> raw,
          ReadPart(bytes, name, section.sh_offset, section.sh_size));
      sections_[std::string(name)] = {section.sh_addr, std::move(raw)};
    }
    if (section.sh_type != SHT_SYMTAB || has_table) continue;
    has_table = true;
    if (section.sh_entsize != sizeof(Elf64_Sym) ||
        section.sh_link >= sections.size() ||
        section.sh_size / sizeof(Elf64_Sym) > kMostSymbols) {
      return BadInput(
          "damaged ELF: a symbol table without names, or too large");
    }
    const Elf64_Shdr& strings = sections[section.sh_link];
    KVMLET_ASSIGN_OR_RETURN(
        table,
        ReadPart(bytes, "a symbol table", section.sh_offset, section.sh_size));
    KVMLET_ASSIGN_OR_RETURN(const std::vector<std::byte> raw,
                            ReadPart(bytes, "names of symbols",
                                     strings.sh_offset, strings.sh_size));
    text_ = AsChars(raw);
  }
  AddElfSymbols(table, executable);
  return absl::OkStatus();
}

void KernelSymbols::AddElfSymbols(std::span<const std::byte> table,
                                  const std::vector<bool>& executable) {
  for (size_t at = 0; table.size() - at >= sizeof(Elf64_Sym);
       at += sizeof(Elf64_Sym)) {
    Elf64_Sym symbol;
    std::memcpy(&symbol, table.data() + at, sizeof(symbol));
    const unsigned type = ELF64_ST_TYPE(symbol.st_info);
    if (symbol.st_shndx == SHN_UNDEF || type == STT_SECTION ||
        type == STT_FILE) {
      continue;
    }
    const std::string_view name = NameAt(text_, symbol.st_name);
    // The assembler's own marks: $x, .Ltmp1.
    if (!IsSymbolName(name) || name[0] == '$' || name.starts_with(".L")) {
      continue;
    }
    const bool code =
        symbol.st_shndx < executable.size() && executable[symbol.st_shndx];
    by_name_.push_back({.address = symbol.st_value,
                        .name = name,
                        .code = code && type != STT_OBJECT,
                        .rank = RankOf(symbol.st_info)});
  }
}

}  // namespace kvmlet
