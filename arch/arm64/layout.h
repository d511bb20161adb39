// SPDX-License-Identifier: Apache-2.0
// The arm64 machine's address map, in one place: devices and the 32-bit PCI
// window below 1 GiB, RAM from there on without a hole, and the 64-bit PCI
// window in the upper half of the guest's physical address space (PlanMemory).
// Constants only; units are bytes; addresses are guest-physical.
#ifndef KVMLET_ARCH_ARM64_LAYOUT_H_
#define KVMLET_ARCH_ARM64_LAYOUT_H_

#include <cstdint>

namespace kvmlet::arch::arm64 {

// Every device lies in a 64 KiB page of its own, for guests of any page size.
inline constexpr uint64_t kGicDistributor = 0x08000000;
inline constexpr uint64_t kGicDistributorSize = 0x10000;  // GICv2: the first 4K
inline constexpr uint64_t kGicCpuInterface = 0x08010000;  // GICv2 only
inline constexpr uint64_t kGicCpuInterfaceSize = 0x2000;
inline constexpr uint64_t kGicV2m = 0x08020000;
inline constexpr uint64_t kGicIts = 0x08080000;
inline constexpr uint64_t kGicItsSize = 0x20000;
// GITS_TRANSLATER, where devices' MSIs go.
inline constexpr uint64_t kGicItsDoorbell = kGicIts + 0x10040;

inline constexpr uint64_t kUart = 0x09000000;
inline constexpr uint64_t kRtc = 0x09010000;
inline constexpr uint64_t kGpio = 0x09030000;
inline constexpr uint64_t kAcpiGed = 0x09040000;  // --acpi only
inline constexpr uint64_t kAcpiGedSize = 0x100;
inline constexpr uint64_t kExit = 0x09080000;
inline constexpr uint64_t kPvpanic = 0x09090000;
// Memory, and not a device; see stolen_time.h.
inline constexpr uint64_t kStolenTime = 0x090a0000;
inline constexpr uint64_t kStolenTimeSize = 0x10000;

inline constexpr uint64_t kGicRedistributors = 0x0a000000;
inline constexpr uint64_t kGicRedistributorSize = 0x20000;  // one a vCPU
inline constexpr uint32_t kMaxVcpus = 512;
static_assert(kGicRedistributors + kMaxVcpus * kGicRedistributorSize <=
              0x10000000);

inline constexpr uint64_t kPciMmio32 = 0x10000000;
inline constexpr uint64_t kPciMmio32Size = 0x20000000;
inline constexpr uint64_t kEcam = 0x30000000;
inline constexpr uint64_t kEcamSize = 0x100000;  // one bus
inline constexpr uint64_t kRam = 0x40000000;
// Linux adds memory in blocks of 128 MiB, or 512 MiB with pages of 64 KiB.
inline constexpr uint64_t kMemoryBlock = 0x20000000;

// Shared peripheral interrupts, numbered from 0 as the device tree does; the
// GIC's own number is 32 more.
inline constexpr uint32_t kFirstSpi = 32;
inline constexpr uint32_t kUartSpi = 1;
inline constexpr uint32_t kPciIntxSpi = 3;  // INTA#..INTD# of the root bus
inline constexpr uint32_t kPciPins = 4;
inline constexpr uint32_t kGpioSpi = 7;
inline constexpr uint32_t kAcpiGedSpi = 9;
inline constexpr uint32_t kSpis = 256;
// Those that stand for MSIs where there is no ITS.
inline constexpr uint32_t kV2mSpi = 64;
inline constexpr uint32_t kV2mSpis = kSpis - kV2mSpi;

// Private peripheral interrupts, numbered the same way; the GIC's own number
// is 16 more.
inline constexpr uint32_t kPmuPpi = 7;
inline constexpr uint32_t kHypTimerPpi = 10;
inline constexpr uint32_t kVirtualTimerPpi = 11;
inline constexpr uint32_t kSecureTimerPpi = 13;
inline constexpr uint32_t kPhysicalTimerPpi = 14;

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_LAYOUT_H_
