// SPDX-License-Identifier: Apache-2.0
#include "tests/arch/x86_64/boot/images.h"

namespace kvmlet::arch::x86_64 {

BzImageParts::BzImageParts() {
  header.setup_sects = 1;
  header.syssize = kPayloadSize / 16;
  header.boot_flag = 0xaa55;
  header.header = 0x53726448;
  header.version = 0x20f;
  header.loadflags = LOADED_HIGH;
  header.initrd_addr_max = 0x7fffffff;
  header.kernel_alignment = 0x200000;
  header.relocatable_kernel = 1;
  header.min_alignment = 21;
  header.xloadflags = XLF_KERNEL_64;
  header.cmdline_size = 2047;
  header.payload_offset = 0x300;
  header.payload_length = 0x1000;
  header.pref_address = 0x1000000;
  header.init_size = 0x100000;
}

Bytes BzImageParts::Build() const {
  const size_t sectors = header.setup_sects == 0 ? 4 : header.setup_sects;
  Bytes out((sectors + 1) * 512);
  Poke(out, 0x1f1, header);
  Poke(out, 0x201, header_length);
  const size_t setup = out.size();
  out.resize(setup + file_payload);
  for (size_t i = 0; i < file_payload; ++i) {
    out[setup + i] = static_cast<std::byte>(i);
  }
  return out;
}

namespace {

template <typename Parts>
Parts MakeElf(uint8_t elf_class, uint16_t machine) {
  Parts elf;
  std::memcpy(elf.header.e_ident, ELFMAG, SELFMAG);
  elf.header.e_ident[EI_CLASS] = elf_class;
  elf.header.e_ident[EI_DATA] = ELFDATA2LSB;
  elf.header.e_ident[EI_VERSION] = EV_CURRENT;
  elf.header.e_type = ET_EXEC;
  elf.header.e_machine = machine;
  elf.header.e_phoff = sizeof(elf.header);
  elf.header.e_entry = 0x1000010;
  elf.body.resize(0x100);
  for (size_t i = 0; i < elf.body.size(); ++i) {
    elf.body[i] = static_cast<std::byte>(i);
  }
  elf.Add(PT_LOAD, Parts::kBody, 0x1000000, 0x100, 0x200);
  return elf;
}

}  // namespace

template <typename Ehdr, typename Phdr>
Phdr& ElfParts<Ehdr, Phdr>::Add(uint32_t type, uint64_t offset,
                                uint64_t address, uint64_t file_size,
                                uint64_t memory_size) {
  Phdr segment{};
  segment.p_type = type;
  segment.p_offset = static_cast<decltype(segment.p_offset)>(offset);
  segment.p_vaddr = static_cast<decltype(segment.p_vaddr)>(address);
  segment.p_paddr = segment.p_vaddr;
  segment.p_filesz = static_cast<decltype(segment.p_filesz)>(file_size);
  segment.p_memsz = static_cast<decltype(segment.p_memsz)>(memory_size);
  segment.p_align = 4;
  segments.push_back(segment);
  header.e_phentsize = sizeof(Phdr);
  header.e_phnum = static_cast<uint16_t>(segments.size());
  return segments.back();
}
template struct ElfParts<Elf64_Ehdr, Elf64_Phdr>;
template struct ElfParts<Elf32_Ehdr, Elf32_Phdr>;

Elf64Parts MakeElf64() { return MakeElf<Elf64Parts>(ELFCLASS64, EM_X86_64); }
Elf32Parts MakeElf32() { return MakeElf<Elf32Parts>(ELFCLASS32, EM_386); }

Bytes Note(std::string_view name, uint32_t type, const Bytes& descriptor) {
  const size_t padded = (name.size() + 1 + 3) & ~size_t{3};
  Bytes out;
  Poke(out, 0, static_cast<uint32_t>(name.size() + 1));
  Poke(out, 4, static_cast<uint32_t>(descriptor.size()));
  Poke(out, 8, type);
  out.resize(12 + padded);
  std::memcpy(out.data() + 12, name.data(), name.size());
  out.insert(out.end(), descriptor.begin(), descriptor.end());
  out.resize((out.size() + 3) & ~size_t{3});
  return out;
}

void AddNotes(Elf64Parts& elf, const Bytes& notes) {
  const uint64_t offset = Elf64Parts::kBody + elf.body.size();
  elf.body.insert(elf.body.end(), notes.begin(), notes.end());
  elf.Add(PT_NOTE, offset, 0, notes.size(), notes.size());
}

Bytes Pvh(uint32_t entry) {
  Bytes descriptor;
  Poke(descriptor, 0, entry);
  return Note("Xen", 18, descriptor);
}

BootFile AsFile(const Bytes& bytes) {
  return BootFile::FromBytes("--kernel", "x", bytes);
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

GuestMemory MakeRam(uint64_t size) {
  const RamRange range{Gpa{0}, size};
  return *GuestMemory::Create(std::span(&range, 1), {});
}

std::vector<E820Entry> MakeMap(uint64_t size) {
  return {{Gpa{0}, 0x9fc00, E820Type::kRam},
          {Gpa{0x9fc00}, 0x60400, E820Type::kReserved},
          {Gpa{0x100000}, size - 0x100000, E820Type::kRam}};
}

}  // namespace kvmlet::arch::x86_64
