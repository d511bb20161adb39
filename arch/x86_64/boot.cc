// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/boot.h"

#include <cstddef>
#include <vector>

#include "absl/strings/str_format.h"
#include "arch/x86_64/boot_pvh.h"
#include "arch/x86_64/boot_writer.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/multiboot.h"
#include "arch/x86_64/zero_page.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr size_t kMaxMapEntries = E820_MAX_ENTRIES_ZEROPAGE;
static_assert(kPvhModules - kPvhStartInfo >= sizeof(PvhStartInfo));
static_assert(kPvhMemoryMap - kPvhModules >= sizeof(PvhModule));
static_assert((kZeroPage - kPvhMemoryMap) / sizeof(PvhMemoryMapEntry) >=
              kMaxMapEntries);
static_assert(kMultibootInfo + 4096 <= kCommandLine);

// The initrd once it is in RAM.
struct Placed {
  Gpa at;
  uint64_t size = 0;  // 0: there is none
};

absl::Status CheckMap(std::span<const E820Entry> map) {
  if (map.size() <= kMaxMapEntries) return absl::OkStatus();
  return absl::InternalError(absl::StrFormat(
      "the memory map has %u entries, the boot protocols take %u", map.size(),
      kMaxMapEntries));
}

absl::Status WriteCommandLine(const KernelImage& kernel, std::string text,
                              BootWriter& writer) {
  const uint64_t limit =
      std::min<uint64_t>(kernel.plan().command_line_max, kCommandLineMax - 1);
  if (text.size() > limit) {
    return BadInput(absl::StrFormat(
        "--append: the command line is %u bytes long, %s takes at most %u",
        text.size(), kernel.file().path(), limit));
  }
  if (text.find('\0') != std::string::npos) {
    return BadInput("--append: the command line holds a NUL byte");
  }
  text.push_back('\0');
  return writer.Write("the command line", Gpa{kCommandLine},
                      std::as_bytes(std::span(text)));
}

absl::Status LoadSegments(const KernelImage& kernel, BootWriter& writer) {
  const BootFile& file = kernel.file();
  for (const KernelSegment& segment : kernel.plan().segments) {
    KVMLET_RETURN_IF_ERROR(
        writer.Claim(file.label(), segment.at, segment.memory_size));
    KVMLET_RETURN_IF_ERROR(file.CopyTo(writer.memory(), segment.at,
                                       segment.file_offset, segment.file_size));
  }
  return absl::OkStatus();
}

absl::StatusOr<Placed> LoadInitrd(const BootFile* initrd, uint64_t limit,
                                  BootWriter& writer) {
  if (initrd == nullptr) return Placed{};
  KVMLET_ASSIGN_OR_RETURN(
      const Gpa at,
      writer.ClaimHighest(initrd->label(), initrd->size(), limit));
  KVMLET_RETURN_IF_ERROR(
      initrd->CopyTo(writer.memory(), at, 0, initrd->size()));
  return Placed{at, initrd->size()};
}

// Each of the three writes what its protocol hands over. They run before the
// kernel is loaded, so that an image on top of them is refused; the parts that
// tell of the initrd are claimed first and written last.

absl::Status PrepareLinux64(BootWriter& writer) {
  KVMLET_RETURN_IF_ERROR(
      writer.WriteObject("the boot GDT", Gpa{kBootGdt}, BuildBootGdt()));
  const std::vector<uint64_t> tables = BuildBootPageTables();
  KVMLET_RETURN_IF_ERROR(writer.Write("the boot page tables",
                                      Gpa{kBootPageTables},
                                      std::as_bytes(std::span(tables))));
  return writer.Claim("the zero page", Gpa{kZeroPage}, sizeof(boot_params));
}

absl::Status PreparePvh(BootWriter& writer) {
  return writer.Claim("the PVH start info", Gpa{kPvhStartInfo},
                      kZeroPage - kPvhStartInfo);
}

absl::Status PrepareMultiboot(BootWriter& writer) {
  return writer.Claim("the multiboot information", Gpa{kMultibootInfo},
                      kCommandLine - kMultibootInfo);
}

absl::Status Prepare(BootProtocol protocol, BootWriter& writer) {
  switch (protocol) {
    case BootProtocol::kLinux64:
      return PrepareLinux64(writer);
    case BootProtocol::kPvh:
      return PreparePvh(writer);
    case BootProtocol::kMultiboot:
      return PrepareMultiboot(writer);
  }
  return absl::InternalError("unknown boot protocol");
}

// Into a place that is claimed, hence RAM.
absl::Status Store(const GuestMemory& memory, uint64_t at,
                   std::span<const std::byte> bytes) {
  if (memory.Write(Gpa{at}, bytes)) return absl::OkStatus();
  return absl::InternalError("boot structures are split over RAM regions");
}

template <typename T>
std::span<const std::byte> BytesOf(const T& object) {
  return std::as_bytes(std::span(&object, 1));
}

absl::StatusOr<Gpa> FinishLinux64(const KernelImage& kernel,
                                  const Placed& initrd,
                                  const BootOptions& options,
                                  const GuestMemory& memory) {
  ZeroPageInput input;
  input.header = kernel.plan().header;
  input.command_line = Gpa{kCommandLine};
  input.initrd = initrd.at;
  input.initrd_size = initrd.size;
  input.rsdp = options.rsdp;
  input.map = options.memory_map;
  const boot_params page = BuildZeroPage(input);
  KVMLET_RETURN_IF_ERROR(Store(memory, kZeroPage, BytesOf(page)));
  return Gpa{kZeroPage};
}

absl::StatusOr<Gpa> FinishPvh(const Placed& initrd, const BootOptions& options,
                              const GuestMemory& memory) {
  const auto map = BuildPvhMemoryMap(options.memory_map);
  PvhStartInfo info;
  info.command_line = kCommandLine;
  info.rsdp = options.rsdp.value;
  info.memory_map = kPvhMemoryMap;
  info.memory_map_entries = static_cast<uint32_t>(map.size());
  if (initrd.size != 0) {
    info.module_count = 1;
    info.modules = kPvhModules;
    const PvhModule module{initrd.at.value, initrd.size, 0, 0};
    KVMLET_RETURN_IF_ERROR(Store(memory, kPvhModules, BytesOf(module)));
  }
  KVMLET_RETURN_IF_ERROR(
      Store(memory, kPvhMemoryMap, std::as_bytes(std::span(map))));
  KVMLET_RETURN_IF_ERROR(Store(memory, kPvhStartInfo, BytesOf(info)));
  return Gpa{kPvhStartInfo};
}

absl::StatusOr<Gpa> FinishMultiboot(const Placed& initrd,
                                    const BootOptions& options,
                                    const GuestMemory& memory) {
  const MultibootModule module{initrd.at, initrd.at + initrd.size};
  const std::vector<std::byte> info = BuildMultibootInfo(
      Gpa{kMultibootInfo}, Gpa{kCommandLine},
      initrd.size != 0 ? &module : nullptr, options.memory_map);
  KVMLET_RETURN_IF_ERROR(Store(memory, kMultibootInfo, info));
  return Gpa{kMultibootInfo};
}

absl::StatusOr<Gpa> Finish(const KernelImage& kernel, const Placed& initrd,
                           const BootOptions& options,
                           const GuestMemory& memory) {
  switch (kernel.plan().protocol) {
    case BootProtocol::kLinux64:
      return FinishLinux64(kernel, initrd, options, memory);
    case BootProtocol::kPvh:
      return FinishPvh(initrd, options, memory);
    case BootProtocol::kMultiboot:
      return FinishMultiboot(initrd, options, memory);
  }
  return absl::InternalError("unknown boot protocol");
}

}  // namespace

absl::StatusOr<BootEntry> LoadGuest(const GuestMemory& memory,
                                    const KernelImage& kernel,
                                    const BootFile* initrd,
                                    const BootOptions& options) {
  KVMLET_RETURN_IF_ERROR(CheckMap(options.memory_map));
  const KernelPlan& plan = kernel.plan();
  BootWriter writer(memory, options.memory_map);
  KVMLET_RETURN_IF_ERROR(Prepare(plan.protocol, writer));
  std::string line = options.command_line;
  if (plan.protocol == BootProtocol::kMultiboot) {
    line = absl::StrFormat("%s %s", kernel.file().path(), line);
  }
  KVMLET_RETURN_IF_ERROR(WriteCommandLine(kernel, std::move(line), writer));
  KVMLET_RETURN_IF_ERROR(LoadSegments(kernel, writer));
  KVMLET_ASSIGN_OR_RETURN(const Placed placed,
                          LoadInitrd(initrd, plan.initrd_limit, writer));
  KVMLET_ASSIGN_OR_RETURN(const Gpa info,
                          Finish(kernel, placed, options, memory));
  return BootEntry{plan.protocol, plan.entry, info};
}

}  // namespace kvmlet::arch::x86_64
