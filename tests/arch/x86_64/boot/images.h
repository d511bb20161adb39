// SPDX-License-Identifier: Apache-2.0
// Synthetic kernel images for the boot tests: right in every field, for the
// test to break one. Not thread-safe.
#ifndef KVMLET_TESTS_ARCH_X86_64_BOOT_IMAGES_H_
#define KVMLET_TESTS_ARCH_X86_64_BOOT_IMAGES_H_

#include <asm/bootparam.h>
#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/common/boot_file.h"
#include "arch/x86_64/boot_plan.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch::x86_64 {

using Bytes = std::vector<std::byte>;

inline constexpr uint64_t kTestRam = 64ull << 20;
inline constexpr uint64_t kPayloadSize = 0x4000;

// A bzImage with one setup sector more than the boot sector and
// kPayloadSize bytes of payload, each the low byte of its offset.
struct BzImageParts {
  BzImageParts();
  setup_header header{};
  uint8_t header_length = 0x6a;  // the byte at 0x201
  uint64_t file_payload = kPayloadSize;
  Bytes Build() const;
};

template <typename T>
void Poke(Bytes& bytes, size_t offset, const T& value) {
  if (bytes.size() < offset + sizeof(T)) bytes.resize(offset + sizeof(T));
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

// An ELF file: headers, then whatever is poked.
template <typename Ehdr, typename Phdr>
struct ElfParts {
  Ehdr header{};
  std::vector<Phdr> segments;
  Bytes body;  // from kBody on
  static constexpr uint64_t kBody = 0x1000;

  Bytes Build() const {
    Bytes out;
    Poke(out, 0, header);
    for (size_t i = 0; i < segments.size(); ++i) {
      Poke(out, sizeof(Ehdr) + i * sizeof(Phdr), segments[i]);
    }
    out.resize(kBody);
    out.insert(out.end(), body.begin(), body.end());
    return out;
  }
  Phdr& Add(uint32_t type, uint64_t offset, uint64_t address,
            uint64_t file_size, uint64_t memory_size);
};
using Elf64Parts = ElfParts<Elf64_Ehdr, Elf64_Phdr>;
using Elf32Parts = ElfParts<Elf32_Ehdr, Elf32_Phdr>;

// One segment of 0x100 bytes (0x200 in memory) at 16 MiB, where its entry is.
Elf64Parts MakeElf64();
Elf32Parts MakeElf32();
Bytes Note(std::string_view name, uint32_t type, const Bytes& descriptor);
// Adds the note segment behind the body.
void AddNotes(Elf64Parts& elf, const Bytes& notes);
Bytes Pvh(uint32_t entry);

BootFile AsFile(const Bytes& bytes);
std::string Message(const absl::Status& status);

// kTestRam of RAM in one region, and its map with the hole below 1 MiB.
GuestMemory MakeRam(uint64_t size = kTestRam);
std::vector<E820Entry> MakeMap(uint64_t size = kTestRam);

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_TESTS_ARCH_X86_64_BOOT_IMAGES_H_
