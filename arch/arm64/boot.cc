// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/boot.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint64_t kGiB = 1ull << 30;
constexpr uint64_t kBlock = 0x200000;
// Any page size's.
constexpr uint64_t kPage = 0x10000;
// Kernel and initrd lie within so much, counted from a GiB.
constexpr uint64_t kInitrdWindow = 32 * kGiB;
// COMMAND_LINE_SIZE without the NUL; Linux cuts a longer line without a word.
constexpr size_t kLinuxCommandLineMax = 2047;

constexpr uint64_t AlignDown(uint64_t value, uint64_t unit) {
  return value & ~(unit - 1);
}

absl::Status TooSmall(const RamRange& ram, const std::string& what) {
  return BadInput(absl::StrCat("--memory: ", ram.size >> 20,
                               " MiB do not hold ", what, "; give more"));
}

// The highest place in [floor, limit) for `size` bytes.
std::optional<AddressRange> Highest(uint64_t floor, uint64_t limit,
                                    uint64_t size) {
  if (limit < floor || size > limit - floor) return std::nullopt;
  const uint64_t at = AlignDown(limit - size, kPage);
  if (at < floor) return std::nullopt;
  return AddressRange::Make(at, size);
}

}  // namespace

absl::StatusOr<BootPlacement> PlaceGuest(const RamRange& ram,
                                         const KernelImage& kernel,
                                         const BootFile* initrd,
                                         uint64_t firmware) {
  const KernelPlan& plan = kernel.plan();
  const uint64_t base = ram.base.value;
  const uint64_t end = base + ram.size;
  const uint64_t low_end = std::min(end, base + kGiB);
  if (plan.memory_size > ram.size ||
      plan.text_offset > ram.size - plan.memory_size) {
    return TooSmall(ram, kernel.file().label());
  }
  const uint64_t kernel_end = base + plan.text_offset + plan.memory_size;
  const uint64_t tree = AlignDown(low_end - kMaxDeviceTree, kBlock);
  const uint64_t tables = tree - firmware;
  if (ram.size < kMaxDeviceTree + firmware || tables < kernel_end) {
    return TooSmall(ram, absl::StrCat(kernel.file().label(),
                                      " and the device tree after it"));
  }
  BootPlacement placement{.kernel = ram.base + plan.text_offset,
                          .device_tree = Gpa{tree},
                          .firmware = Gpa{tables},
                          .initrd = std::nullopt};
  if (initrd == nullptr) return placement;
  placement.initrd = Highest(kernel_end, tables, initrd->size());
  if (!placement.initrd) {
    placement.initrd =
        Highest(tree + kMaxDeviceTree, std::min(end, base + kInitrdWindow),
                initrd->size());
  }
  if (placement.initrd) return placement;
  return TooSmall(
      ram, absl::StrCat(initrd->label(), " beside ", kernel.file().label()));
}

absl::Status CopyGuest(const GuestMemory& memory,
                       const BootPlacement& placement,
                       const KernelImage& kernel, const BootFile* initrd) {
  const BootFile& file = kernel.file();
  KVMLET_RETURN_IF_ERROR(file.CopyTo(memory, placement.kernel, 0, file.size()));
  if (initrd == nullptr) return absl::OkStatus();
  return initrd->CopyTo(memory, Gpa{placement.initrd->base()}, 0,
                        initrd->size());
}

absl::Status CheckCommandLine(const KernelImage& kernel,
                              std::string_view line) {
  if (line.find('\0') != std::string_view::npos) {
    return BadInput("--append: the command line holds a NUL byte");
  }
  if (!kernel.plan().linux_image || line.size() <= kLinuxCommandLineMax) {
    return absl::OkStatus();
  }
  return BadInput(absl::StrCat("--append: the command line is ", line.size(),
                               " bytes long, ", kernel.file().path(),
                               " takes at most ", kLinuxCommandLineMax));
}

}  // namespace kvmlet::arch::arm64
