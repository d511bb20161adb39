// SPDX-License-Identifier: Apache-2.0
// What Linux on arm64 wants of EFI before it reads ACPI tables: a system
// table, three configuration tables and a memory map, without any code behind
// them. They lie with the ACPI tables in one area of RAM that the map keeps
// from the kernel's allocator, so that they outlive kexec. Pure functions,
// thread-safe; units are bytes; addresses are guest-physical.
// Specification: UEFI 2.7, 4.3 "EFI System Table", 4.6, 7.2 "GetMemoryMap()";
// Linux, drivers/firmware/efi (fdtparams.c, efi-init.c) for what it reads.
#ifndef KVMLET_ARCH_ARM64_EFI_H_
#define KVMLET_ARCH_ARM64_EFI_H_

#include <cstdint>
#include <span>

#include "arch/arm64/fdt.h"
#include "arch/common/bytes.h"
#include "vmm/memory/gpa.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch::arm64 {

// The area: whole pages of any size, for the largest machine.
inline constexpr uint64_t kFirmwareSize = 0x40000;
// Where the ACPI tables begin in it, RSDP first, and the error records.
inline constexpr uint64_t kFirmwareAcpi = 0x2000;
inline constexpr uint64_t kFirmwareErrors = kFirmwareSize - 0x1000;

struct EfiTables {
  Bytes bytes;  // for the area's first kFirmwareAcpi bytes
  FdtEfi places;
};

// `area` lies in one of the ranges of `ram`, kFirmwareSize bytes long.
EfiTables BuildEfi(std::span<const RamRange> ram, Gpa area);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_EFI_H_
