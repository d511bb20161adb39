// SPDX-License-Identifier: Apache-2.0
// A machine for the tests of what the guest is told. Thread-safe.
#ifndef KVMLET_TESTS_ARCH_ARM64_MACHINES_H_
#define KVMLET_TESTS_ARCH_ARM64_MACHINES_H_

#include <cstdint>

#include "arch/arm64/fdt.h"
#include "arch/arm64/layout.h"

namespace kvmlet::arch::arm64 {

inline constexpr uint64_t kMiB = 1 << 20;

inline AddressRange Range(uint64_t base, uint64_t size) {
  return *AddressRange::Make(base, size);
}

inline FdtMachine Machine(uint32_t cpus = 2, GicKind gic = GicKind::kV3Its) {
  FdtMachine machine{.memory = {{Range(kRam, 512 * kMiB)}},
                     .gic = gic,
                     .pmu = true,
                     .ecam = Range(kEcam, kEcamSize),
                     .mmio32 = Range(kPciMmio32, kPciMmio32Size),
                     .mmio64 = Range(1ull << 39, 1ull << 39),
                     .command_line = "console=ttyAMA0 quiet",
                     .initrd = Range(kRam + 100 * kMiB, 1234),
                     .kaslr_seed = 0x0123456789abcdef};
  for (uint32_t i = 0; i < cpus; ++i) {
    machine.cpus.push_back(
        {.mpidr = 0x80000000 | (i / 16) << 8 | i % 16, .core = i});
  }
  return machine;
}

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_TESTS_ARCH_ARM64_MACHINES_H_
