// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/elf_image.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "arch/x86_64/multiboot.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

// Real kernels have five or so; the bound also refuses PN_XNUM.
constexpr uint64_t kMaxProgramHeaders = 256;
constexpr uint64_t kMaxNotes = 1 << 20;
constexpr uint32_t kXenPhys32Entry = 18;

// A segment's header, whatever the class of the file.
struct Header {
  uint32_t type = 0;
  uint64_t offset = 0;
  uint64_t virtual_address = 0;
  uint64_t physical_address = 0;
  uint64_t file_size = 0;
  uint64_t memory_size = 0;
  uint64_t alignment = 0;
};

absl::Status AddSegment(const BootFile& file, const Header& header,
                        ElfImage& image) {
  if (header.memory_size == 0) return absl::OkStatus();
  if (header.file_size > header.memory_size) {
    return file.Error(absl::StrFormat(
        "damaged ELF: a segment has %u bytes in the file and %u in memory",
        header.file_size, header.memory_size));
  }
  if (!file.Contains(header.offset, header.file_size)) {
    return file.Error(absl::StrFormat(
        "truncated ELF: a segment has %u bytes at offset %u, the file has %u",
        header.file_size, header.offset, file.size()));
  }
  image.segments.push_back(
      {header.virtual_address,
       {header.offset, header.file_size, Gpa{header.physical_address},
        header.memory_size}});
  return absl::OkStatus();
}

// A note of the owner `name`, as far as this loader cares.
absl::Status TakeNote(const BootFile& file, std::string_view name,
                      uint32_t type, uint64_t offset, uint32_t size,
                      ElfImage& image) {
  if (name == "Linux") image.is_linux = true;
  if (name != "Xen" || type != kXenPhys32Entry) return absl::OkStatus();
  std::optional<uint64_t> entry;
  if (size == sizeof(uint64_t)) {
    entry = file.Load<uint64_t>(offset);
  } else if (size == sizeof(uint32_t)) {
    entry = file.Load<uint32_t>(offset);
  }
  if (!entry || *entry > UINT32_MAX) {
    return file.Error("damaged ELF: the PVH note holds no 32-bit address");
  }
  image.pvh_entry = *entry;
  return absl::OkStatus();
}

// Both loops below advance by at least a note's header, inside a range that is
// known to lie in the file.
absl::Status ReadNotes(const BootFile& file, const Header& header,
                       ElfImage& image) {
  if (header.file_size > kMaxNotes ||
      !file.Contains(header.offset, header.file_size)) {
    return file.Error(absl::StrFormat(
        "damaged ELF: notes of %u bytes at offset %u, the file has %u",
        header.file_size, header.offset, file.size()));
  }
  const uint64_t align = header.alignment == 8 ? 8 : 4;
  const auto padded = [align](uint64_t size) {
    return (size + align - 1) & ~(align - 1);
  };
  uint64_t at = header.offset;
  uint64_t left = header.file_size;
  while (left >= sizeof(Elf64_Nhdr)) {
    const auto note = file.Load<Elf64_Nhdr>(at);
    if (!note) break;
    at += sizeof(*note);
    left -= sizeof(*note);
    const uint64_t name_size = padded(note->n_namesz);
    if (name_size > left || note->n_descsz > left - name_size) {
      return file.Error("damaged ELF: a note runs past its segment");
    }
    std::string name(note->n_namesz, '\0');
    std::memcpy(name.data(), file.bytes().data() + at, name.size());
    name.resize(std::strlen(name.c_str()));
    KVMLET_RETURN_IF_ERROR(TakeNote(file, name, note->n_type, at + name_size,
                                    note->n_descsz, image));
    const uint64_t step = std::min(left, name_size + padded(note->n_descsz));
    at += step;
    left -= step;
  }
  return absl::OkStatus();
}

template <typename Ehdr, typename Phdr>
absl::StatusOr<ElfImage> ParseClass(const BootFile& file) {
  const auto elf = file.Load<Ehdr>(0);
  if (!elf) return file.Error("truncated ELF: no complete header");
  if (elf->e_type != ET_EXEC && elf->e_type != ET_DYN) {
    return file.Error(absl::StrCat(
        "an ELF file of type ", elf->e_type,
        ", not an executable; --kernel wants a vmlinux or a bzImage"));
  }
  if (elf->e_phentsize != sizeof(Phdr) || elf->e_phnum == 0 ||
      elf->e_phnum > kMaxProgramHeaders ||
      !file.Contains(elf->e_phoff, sizeof(Phdr) * elf->e_phnum)) {
    return file.Error(absl::StrFormat(
        "damaged ELF: %u program headers of %u bytes at offset %u, the file "
        "has %u",
        elf->e_phnum, elf->e_phentsize, elf->e_phoff, file.size()));
  }
  ElfImage image;
  image.is_64_bit = sizeof(Ehdr) == sizeof(Elf64_Ehdr);
  image.entry = elf->e_entry;
  for (uint64_t i = 0; i < elf->e_phnum; ++i) {
    const auto raw = file.Load<Phdr>(elf->e_phoff + i * sizeof(Phdr));
    if (!raw) return file.Error("truncated ELF: program headers");
    const Header header{raw->p_type,  raw->p_offset, raw->p_vaddr,
                        raw->p_paddr, raw->p_filesz, raw->p_memsz,
                        raw->p_align};
    if (header.type == PT_LOAD) {
      KVMLET_RETURN_IF_ERROR(AddSegment(file, header, image));
    } else if (header.type == PT_NOTE) {
      KVMLET_RETURN_IF_ERROR(ReadNotes(file, header, image));
    }
  }
  if (image.segments.empty()) {
    return file.Error("an ELF file with nothing to load");
  }
  return image;
}

bool Within(uint64_t at, uint64_t start, uint64_t size) {
  return at >= start && at - start < size;
}

// Linux' e_entry is physical; the ELF specification's is virtual.
uint64_t PhysicalEntry(const ElfImage& image) {
  for (const ElfSegment& segment : image.segments) {
    if (Within(image.entry, segment.load.at.value, segment.load.memory_size)) {
      return image.entry;
    }
  }
  for (const ElfSegment& segment : image.segments) {
    if (Within(image.entry, segment.virtual_address,
               segment.load.memory_size)) {
      return segment.load.at.value + (image.entry - segment.virtual_address);
    }
  }
  return image.entry;
}

}  // namespace

bool IsElf(const BootFile& file) {
  return file.Contains(0, SELFMAG) &&
         std::memcmp(file.bytes().data(), ELFMAG, SELFMAG) == 0;
}

absl::StatusOr<ElfImage> ParseElf(const BootFile& file) {
  // e_machine lies at the same place in both classes.
  const auto elf = file.Load<Elf32_Ehdr>(0);
  if (!elf) return file.Error("truncated ELF: no complete header");
  const unsigned char elf_class = elf->e_ident[EI_CLASS];
  if (elf->e_ident[EI_DATA] != ELFDATA2LSB) {
    return file.Error("a big-endian ELF file; it is not for x86-64");
  }
  if (elf_class == ELFCLASS64 && elf->e_machine == EM_X86_64) {
    return ParseClass<Elf64_Ehdr, Elf64_Phdr>(file);
  }
  if (elf_class == ELFCLASS32 && elf->e_machine == EM_386) {
    return ParseClass<Elf32_Ehdr, Elf32_Phdr>(file);
  }
  return file.Error(absl::StrFormat(
      "an ELF file for machine %u%s, class %u; this kvmlet runs x86-64 "
      "kernels",
      elf->e_machine, elf->e_machine == EM_AARCH64 ? " (aarch64)" : "",
      elf_class));
}

absl::Status CheckEntry(const BootFile& file, const KernelPlan& plan) {
  for (const KernelSegment& segment : plan.segments) {
    if (Within(plan.entry.value, segment.at.value, segment.memory_size)) {
      return absl::OkStatus();
    }
  }
  return file.Error(absl::StrFormat(
      "its entry point 0x%x lies in none of its segments", plan.entry.value));
}

absl::StatusOr<KernelPlan> PlanElf(const BootFile& file) {
  KVMLET_ASSIGN_OR_RETURN(const ElfImage image, ParseElf(file));
  KernelPlan plan;
  for (const ElfSegment& segment : image.segments) {
    plan.segments.push_back(segment.load);
  }
  if (image.pvh_entry) {
    plan.protocol = BootProtocol::kPvh;
    plan.entry = Gpa{*image.pvh_entry};
  } else if (image.is_64_bit && !image.is_linux && IsMultiboot(file)) {
    return PlanMultiboot(file);  // which says what to do with it
  } else if (image.is_64_bit) {
    plan.protocol = BootProtocol::kLinux64;
    plan.entry = Gpa{PhysicalEntry(image)};
  } else {
    return file.Error(
        "a 32-bit ELF file with neither a multiboot header nor a PVH note; "
        "kvmlet cannot tell how to enter it");
  }
  if (image.is_linux || plan.protocol == BootProtocol::kLinux64) {
    plan.command_line_max = kLinuxCommandLineMax;
  }
  KVMLET_RETURN_IF_ERROR(CheckEntry(file, plan));
  return plan;
}

}  // namespace kvmlet::arch::x86_64
