// SPDX-License-Identifier: Apache-2.0
// The parts of the ISA contract that need no platform: what the host must
// offer, and where RAM and the PCI windows lie.
#include <linux/kvm.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {
namespace {

using namespace x86_64;  // NOLINT: this file is part of it

// CPUID 0x80000008, EAX[7:0], of the CPU this runs on: what the guest gets too.
uint32_t HostPhysicalBits() {
  uint32_t eax = 0x80000000;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
  asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  if (eax < 0x80000008) return 36;
  eax = 0x80000008;
  ecx = 0;
  asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  return eax & 0xff;
}

// A 64-bit window above this is of no use: four-level page tables of a guest
// (and of the host, for its nested tables) map 48 bits.
constexpr uint32_t kMaxBits = 46;

}  // namespace

std::string_view Name() { return "x86_64"; }

absl::Status CheckHost(const KvmSystem& system) {
  struct Need {
    unsigned long capability;
    const char* name;
  };
  static constexpr Need kNeeds[] = {
      {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
      {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
      {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
      {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
      {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
      {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
      {KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
      {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
      {KVM_CAP_PIT2, "KVM_CAP_PIT2"},
  };
  for (const Need& need : kNeeds) {
    KVMLET_RETURN_IF_ERROR(system.Require(need.capability, need.name));
  }
  return absl::OkStatus();
}

unsigned long VmType(const KvmSystem& /*system*/, const MemoryPlan& /*plan*/) {
  return 0;
}

absl::StatusOr<MemoryPlan> PlanMemory(const KvmSystem& /*system*/,
                                      const VmConfig& config,
                                      uint64_t /*devices*/) {
  const uint64_t size = config.memory.size;
  const uint32_t bits = std::min(HostPhysicalBits(), kMaxBits);
  const uint64_t window = 1ull << (bits - 1);
  const uint64_t low = std::min(size, kRamHoleStart);
  const uint64_t high = size - low;
  if (high > window - kRamHoleEnd) {
    return BadInput(absl::StrCat("--memory: ", size >> 20,
                                 " MiB do not fit below the PCI window of "
                                 "this host's ",
                                 bits, "-bit physical addresses; the most is ",
                                 (window - kRamHoleEnd + kRamHoleStart) >> 20,
                                 " MiB"));
  }
  std::vector<RamRange> ram{{Gpa{0}, low}};
  if (high > 0) ram.push_back({Gpa{kRamHoleEnd}, high});
  const uint64_t above =
      (kRamHoleEnd + high + kMemoryBlock - 1) / kMemoryBlock * kMemoryBlock;
  return MemoryPlan{.ram = std::move(ram),
                    .ecam = *AddressRange::Make(kEcam, kEcamSize),
                    .mmio32 = *AddressRange::Make(kPciMmio32, kPciMmio32Size),
                    .mmio64 = *AddressRange::Make(window, window / 2),
                    .device_memory = above < window ? AddressRange::Make(
                                                          above, window - above)
                                                    : std::nullopt,
                    .memory_block = kMemoryBlock,
                    .hotplug = {},
                    .names_hotplug_nodes = true};
}

}  // namespace kvmlet::arch
