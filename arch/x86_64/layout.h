// SPDX-License-Identifier: Apache-2.0
// The x86-64 machine's address map, in one place: where RAM, the PCI windows,
// the fixed devices and the boot structures lie. Constants only; units are
// bytes; addresses are guest-physical or I/O ports.
#ifndef KVMLET_ARCH_X86_64_LAYOUT_H_
#define KVMLET_ARCH_X86_64_LAYOUT_H_

#include <cstdint>

namespace kvmlet::arch::x86_64 {

// Below 1 MiB: what a kernel is handed at boot.
inline constexpr uint64_t kBootGdt = 0x500;
inline constexpr uint64_t kPvhStartInfo = 0x6000;
inline constexpr uint64_t kPvhModules = 0x6040;
inline constexpr uint64_t kPvhMemoryMap = 0x6100;
inline constexpr uint64_t kZeroPage = 0x7000;
inline constexpr uint64_t kBootStackTop = 0x8ff0;
inline constexpr uint64_t kBootPageTables = 0x9000;  // up to 0x1f000
inline constexpr uint64_t kMultibootInfo = 0x1f000;
inline constexpr uint64_t kCommandLine = 0x20000;
inline constexpr uint64_t kCommandLineMax = 0x10000;
inline constexpr uint64_t kLowRamEnd = 0x9fc00;   // then the EBDA, reserved
inline constexpr uint64_t kAcpiTables = 0xe0000;  // RSDP first
inline constexpr uint64_t kAcpiTablesEnd = 0xffff0;
// Where firmware would begin, F000:FFF0. Linux on hardware-reduced ACPI
// without EFI restarts by jumping here, so a few instructions reset.
inline constexpr uint64_t kResetVector = 0xffff0;
inline constexpr uint64_t kHighRamStart = 0x100000;

// RAM fills [0, kRamHoleStart) and goes on at kRamHoleEnd.
inline constexpr uint64_t kRamHoleStart = 0xc0000000;
inline constexpr uint64_t kRamHoleEnd = 0x100000000;

// Linux adds memory in blocks of 128 MiB, up to 2 GiB on machines with much.
inline constexpr uint64_t kMemoryBlock = 0x80000000;

// PCI. The 64-bit window lies in the upper half of the guest's physical
// address space, see PlanMemory.
inline constexpr uint64_t kPciMmio32 = 0xc0000000;
inline constexpr uint64_t kPciMmio32Size = 0x20000000;
inline constexpr uint64_t kEcam = 0xe0000000;
// One bus: Linux looks for devices on every bus that the MCFG table names,
// which is 8192 exits for 256 of them.
inline constexpr uint64_t kEcamSize = 0x100000;
inline constexpr uint16_t kPciConfigPort = 0xcf8;
inline constexpr uint16_t kPciIoBase = 0x1000;
inline constexpr uint16_t kPciIoSize = 0xf000;
// INTA#..INTD# of the root bus, in I/O APIC pins; slot and pin swizzle onto
// these four.
inline constexpr uint32_t kPciIntxGsi = 16;

// Fixed devices.
inline constexpr uint64_t kAcpiGed = 0xfeb00000;  // event, sleep and reset regs
inline constexpr uint64_t kAcpiGedSize = 0x1000;
inline constexpr uint32_t kAcpiGedGsi = 9;
inline constexpr uint64_t kPciHotplug = 0xfeb01000;
inline constexpr uint64_t kPciHotplugSize = 0x1000;
inline constexpr uint64_t kIoApic = 0xfec00000;
inline constexpr uint64_t kLocalApic = 0xfee00000;
inline constexpr uint64_t kIdentityMap = 0xfffbc000;  // KVM's, one page
inline constexpr uint64_t kTss = 0xfffbd000;          // KVM's, three pages
inline constexpr uint16_t kCom1Port = 0x3f8;
inline constexpr uint32_t kCom1Gsi = 4;
inline constexpr uint16_t kCmosPort = 0x70;
inline constexpr uint16_t kI8042Data = 0x60;
inline constexpr uint16_t kI8042Command = 0x64;
inline constexpr uint16_t kExitPort = 0xf4;
inline constexpr uint16_t kPvpanicPort = 0x505;
inline constexpr uint32_t kIoApicPins = 24;

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_LAYOUT_H_
