// SPDX-License-Identifier: Apache-2.0
// The device tree of the arm64 machine: what the guest is told about its CPUs,
// memory, interrupt controller and devices. A pure function of a plain
// description, thread-safe; addresses are guest-physical.
// Specification: Devicetree Specification 0.4; the bindings in Linux'
// Documentation/devicetree/bindings name what each node must hold.
#ifndef KVMLET_ARCH_ARM64_FDT_H_
#define KVMLET_ARCH_ARM64_FDT_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "arch/common/bytes.h"
#include "vmm/bus/address_range.h"
#include "vmm/memory/gpa.h"

namespace kvmlet::arch::arm64 {

// The interrupt controller, and where message-signalled interrupts go.
enum class GicKind {
  kV3Its,  // GICv3 with an interrupt translation service
  kV3V2m,  // GICv3, a v2m frame turns MSIs into SPIs
  kV2,     // GICv2 with a v2m frame; at most 8 vCPUs
};

struct FdtCpu {
  uint64_t mpidr = 0;
  uint32_t socket = 0;
  uint32_t core = 0;
  uint32_t thread = 0;
  uint32_t node = 0;
};

struct FdtMemory {
  AddressRange range;
  uint32_t node = 0;
};

// Where a kernel finds EFI's tables; see efi.h.
inline constexpr uint32_t kEfiDescriptorSize = 40;
inline constexpr uint32_t kEfiDescriptorVersion = 1;
inline constexpr uint32_t kEfiSecureBootDisabled = 2;
struct FdtEfi {
  // Of them and the tables that they name: not for a kernel's allocator.
  std::optional<AddressRange> area{};
  Gpa system_table;
  Gpa memory_map;
  uint32_t memory_map_size = 0;
};

// The affinity fields of MPIDR_EL1, by which a processor is named.
inline constexpr uint64_t kMpidrAffinity = 0xff00ffffff;

struct FdtMachine {
  std::vector<FdtCpu> cpus{};
  uint32_t threads_per_core = 1;
  std::vector<FdtMemory> memory{};
  // distances[i][j] from NUMA node i to j; empty when there is no NUMA.
  std::vector<std::vector<uint8_t>> distances{};
  GicKind gic = GicKind::kV3Its;
  bool pmu = false;
  AddressRange ecam;
  AddressRange mmio32;
  AddressRange mmio64;
  std::string command_line{};
  std::optional<AddressRange> initrd{};
  std::optional<FdtEfi> efi{};
  // Fresh random numbers at every boot.
  uint64_t kaslr_seed = 0;
  std::array<std::byte, 64> rng_seed{};
};

absl::StatusOr<Bytes> BuildFdt(const FdtMachine& machine);

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_FDT_H_
