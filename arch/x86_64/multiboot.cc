// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/multiboot.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "arch/x86_64/elf_image.h"
#include "arch/x86_64/layout.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t kSearchBytes = 8192;
constexpr uint32_t kHeaderMagic = 0x1badb002;

// 3.1.2: bits 0 to 15 are demands, 16 and up are statements.
constexpr uint32_t kPageAlignModules = 1u << 0;
constexpr uint32_t kMemoryInformation = 1u << 1;
constexpr uint32_t kAddressesValid = 1u << 16;
constexpr uint32_t kDemands = 0xffff;

// 3.1.1, up to where this loader reads it.
struct Header {
  uint32_t magic;
  uint32_t flags;
  uint32_t checksum;
};

// 3.1.3, right behind the header when kAddressesValid is set.
struct Addresses {
  uint32_t header;
  uint32_t load;
  uint32_t load_end;
  uint32_t bss_end;
  uint32_t entry;
};

// 3.3, up to where this loader writes it; flags say what is valid.
struct Info {
  uint32_t flags;
  uint32_t mem_lower;
  uint32_t mem_upper;
  uint32_t boot_device;
  uint32_t cmdline;
  uint32_t mods_count;
  uint32_t mods_addr;
  uint32_t syms[4];
  uint32_t mmap_length;
  uint32_t mmap_addr;
  uint32_t rest[17];
};
static_assert(sizeof(Info) == 120);
constexpr uint32_t kInfoMemory = 1u << 0;
constexpr uint32_t kInfoCommandLine = 1u << 2;
constexpr uint32_t kInfoModules = 1u << 3;
constexpr uint32_t kInfoMemoryMap = 1u << 6;

struct Module {
  uint32_t start;
  uint32_t end;
  uint32_t string;
  uint32_t reserved;
};

struct __attribute__((packed)) MapEntry {
  uint32_t size;  // of what follows
  uint64_t base;
  uint64_t length;
  uint32_t type;
};
static_assert(sizeof(MapEntry) == 24);

struct Found {
  uint64_t offset = 0;
  Header header{};
};

std::optional<Found> FindHeader(const BootFile& file) {
  const uint64_t end = std::min(file.size(), kSearchBytes);
  for (uint64_t at = 0; at < end && sizeof(Header) <= end - at; at += 4) {
    const auto header = file.Load<Header>(at);
    if (header && header->magic == kHeaderMagic &&
        header->magic + header->flags + header->checksum == 0) {
      return Found{at, *header};
    }
  }
  return std::nullopt;
}

// The addresses in the header say which part of the file goes where.
absl::Status PlanByAddresses(const BootFile& file, const Found& found,
                             KernelPlan& plan) {
  const auto a = file.Load<Addresses>(found.offset + sizeof(Header));
  if (!a) return file.Error("truncated multiboot header");
  // Unsigned arithmetic below only runs where it cannot wrap.
  const bool ordered = a->load <= a->header &&
                       (a->load_end == 0 || a->load_end > a->load) &&
                       (a->bss_end == 0 || a->bss_end >= a->load_end);
  if (!ordered || a->header - a->load > found.offset) {
    return file.Error(absl::StrFormat(
        "damaged multiboot header: load 0x%x to 0x%x, bss to 0x%x, header "
        "0x%x at offset %u",
        a->load, a->load_end, a->bss_end, a->header, found.offset));
  }
  KernelSegment segment;
  segment.file_offset = found.offset - (a->header - a->load);
  segment.at = Gpa{a->load};
  segment.file_size = a->load_end == 0 ? file.size() - segment.file_offset
                                       : a->load_end - a->load;
  if (!file.Contains(segment.file_offset, segment.file_size)) {
    return file.Error(absl::StrFormat(
        "truncated: the multiboot header says %u bytes at offset %u, the file "
        "has %u",
        segment.file_size, segment.file_offset, file.size()));
  }
  segment.memory_size = segment.file_size;
  if (a->bss_end > a->load) {
    segment.memory_size =
        std::max<uint64_t>(segment.file_size, a->bss_end - a->load);
  }
  plan.segments = {segment};
  plan.entry = Gpa{a->entry};
  return absl::OkStatus();
}

absl::Status PlanByElf(const BootFile& file, KernelPlan& plan) {
  KVMLET_ASSIGN_OR_RETURN(const ElfImage image, ParseElf(file));
  if (image.is_64_bit) {
    return file.Error(
        "a 64-bit ELF file with a multiboot header; multiboot 1 enters 32-bit "
        "code, convert it with objcopy -O elf32-i386");
  }
  for (const ElfSegment& segment : image.segments) {
    plan.segments.push_back(segment.load);
  }
  plan.entry = Gpa{image.entry};
  return absl::OkStatus();
}

uint32_t KiB(uint64_t bytes) {
  return static_cast<uint32_t>(std::min<uint64_t>(bytes >> 10, UINT32_MAX));
}

// mem_lower and mem_upper: RAM from address 0, and from 1 MiB to the first
// hole.
void SetMemorySizes(std::span<const E820Entry> map, Info& info) {
  for (const E820Entry& entry : map) {
    if (entry.type != E820Type::kRam) continue;
    if (entry.base.value == 0) {
      info.mem_lower = KiB(std::min<uint64_t>(entry.size, 640 << 10));
    } else if (entry.base.value == kHighRamStart) {
      info.mem_upper = KiB(entry.size);
    }
  }
}

// Writes `value` at `offset`, which moves behind it.
template <typename T>
void Put(std::span<std::byte> out, size_t& offset, const T& value) {
  std::memcpy(out.subspan(offset, sizeof(T)).data(), &value, sizeof(T));
  offset += sizeof(T);
}

}  // namespace

bool IsMultiboot(const BootFile& file) { return FindHeader(file).has_value(); }

absl::StatusOr<KernelPlan> PlanMultiboot(const BootFile& file) {
  const std::optional<Found> found = FindHeader(file);
  if (!found) return file.Error("no multiboot header");
  const uint32_t flags = found->header.flags;
  if ((flags & kDemands & ~(kPageAlignModules | kMemoryInformation)) != 0) {
    return file.Error(absl::StrFormat(
        "its multiboot header demands features 0x%x; kvmlet has page-aligned "
        "modules and memory information (0x3)",
        flags & kDemands));
  }
  KernelPlan plan;
  plan.protocol = BootProtocol::kMultiboot;
  KVMLET_RETURN_IF_ERROR((flags & kAddressesValid) != 0
                             ? PlanByAddresses(file, *found, plan)
                             : PlanByElf(file, plan));
  KVMLET_RETURN_IF_ERROR(CheckEntry(file, plan));
  return plan;
}

std::vector<std::byte> BuildMultibootInfo(Gpa at, Gpa command_line,
                                          const MultibootModule* module,
                                          std::span<const E820Entry> map) {
  Info info{};
  info.flags = kInfoMemory | kInfoCommandLine | kInfoMemoryMap;
  SetMemorySizes(map, info);
  info.cmdline = static_cast<uint32_t>(command_line.value);
  auto tail = static_cast<uint32_t>(at.value + sizeof(Info));
  if (module != nullptr) {
    info.flags |= kInfoModules;
    info.mods_count = 1;
    info.mods_addr = tail;
    tail += static_cast<uint32_t>(sizeof(Module));
  }
  info.mmap_addr = tail;
  info.mmap_length = static_cast<uint32_t>(map.size() * sizeof(MapEntry));
  const size_t modules = info.mods_count * sizeof(Module);
  std::vector<std::byte> out(sizeof(Info) + modules + info.mmap_length);
  size_t offset = 0;
  Put(out, offset, info);
  if (module != nullptr) {
    Put(out, offset,
        Module{static_cast<uint32_t>(module->start.value),
               static_cast<uint32_t>(module->end.value), info.cmdline, 0});
  }
  for (const E820Entry& entry : map) {
    Put(out, offset,
        MapEntry{sizeof(MapEntry) - sizeof(uint32_t), entry.base.value,
                 entry.size, static_cast<uint32_t>(entry.type)});
  }
  return out;
}

}  // namespace kvmlet::arch::x86_64
