// SPDX-License-Identifier: Apache-2.0
// Where kernel, initrd and device tree go in RAM, and the copying of the two
// files. The kernel lies at the start of RAM; the tree in the last 2 MiB block
// of the first GiB, right below it what efi.h wants and the initrd, so that
// even a kernel that does not say how large it is runs into neither. Not
// thread-safe with a running vCPU. Addresses are guest-physical; errors name
// the flag. Specification: Linux, Documentation/arch/arm64/booting.rst, 2 to 4.
#ifndef KVMLET_ARCH_ARM64_BOOT_H_
#define KVMLET_ARCH_ARM64_BOOT_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/arm64/kernel_image.h"
#include "arch/common/boot_file.h"
#include "vmm/bus/address_range.h"
#include "vmm/memory/gpa.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch::arm64 {

// As Linux, which maps no larger one.
inline constexpr uint64_t kMaxDeviceTree = 0x200000;

struct BootPlacement {
  Gpa kernel;  // its first byte is the entry
  Gpa device_tree;
  Gpa firmware;  // right below the tree
  std::optional<AddressRange> initrd;
};

// `initrd` may be null; `firmware` is how much the tables of efi.h take, 0 or
// a multiple of 64 KiB.
absl::StatusOr<BootPlacement> PlaceGuest(const RamRange& ram,
                                         const KernelImage& kernel,
                                         const BootFile* initrd,
                                         uint64_t firmware);

// RAM must read as zeroes: a kernel's bss is not written.
absl::Status CopyGuest(const GuestMemory& memory,
                       const BootPlacement& placement,
                       const KernelImage& kernel, const BootFile* initrd);

// What Linux takes; a flat binary takes everything.
absl::Status CheckCommandLine(const KernelImage& kernel, std::string_view line);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_BOOT_H_
