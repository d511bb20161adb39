// SPDX-License-Identifier: Apache-2.0
// The parts of the ISA contract that need no platform: what the host must
// offer, and where RAM and the PCI windows lie.
#include <linux/kvm.h>

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "arch/arch.h"
#include "arch/arm64/address_space.h"
#include "arch/arm64/layout.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {
namespace {

// KVM before 4.20 does not say, and has this many.
constexpr uint32_t kClassicBits = 40;

// Of the guest's physical addresses, the most this host can have.
uint32_t HostAddressBits(const KvmSystem& system) {
  const int bits = system.CheckExtension(KVM_CAP_ARM_VM_IPA_SIZE);
  return bits > 0 ? static_cast<uint32_t>(bits) : kClassicBits;
}

}  // namespace

std::string_view Name() { return "aarch64"; }

absl::Status CheckHost(const KvmSystem& system) {
  struct Need {
    unsigned long capability;
    const char* name;
  };
  static constexpr Need kNeeds[] = {
      {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
      {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
      {KVM_CAP_ONE_REG, "KVM_CAP_ONE_REG"},
      {KVM_CAP_ARM_PSCI_0_2, "KVM_CAP_ARM_PSCI_0_2"},
      {KVM_CAP_DEVICE_CTRL, "KVM_CAP_DEVICE_CTRL"},
      {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
      {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
      {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
  };
  for (const Need& need : kNeeds) {
    KVMLET_RETURN_IF_ERROR(system.Require(need.capability, need.name));
  }
  return absl::OkStatus();
}

unsigned long VmType(const KvmSystem& system, const MemoryPlan& plan) {
  // An older KVM knows only 0, which stands for 40 bits.
  if (system.CheckExtension(KVM_CAP_ARM_VM_IPA_SIZE) <= 0) return 0;
  return KVM_VM_TYPE_ARM_IPA_SIZE(
      static_cast<unsigned long>(std::bit_width(plan.mmio64.last())));
}

absl::StatusOr<MemoryPlan> PlanMemory(const KvmSystem& system,
                                      const VmConfig& config,
                                      uint64_t devices) {
  const uint64_t size = config.memory.size;
  const uint32_t most = HostAddressBits(system);
  std::optional<uint32_t> bits = arm64::AddressBits(size + devices, most);
  // Which device has no room is its own error.
  if (!bits) bits = arm64::AddressBits(size, most);
  if (!bits) {
    return BadInput(absl::StrCat("--memory: ", size >> 20,
                                 " MiB do not fit below the PCI window of "
                                 "this host's ",
                                 most, "-bit guest addresses; the most is ",
                                 arm64::LargestRam(most) >> 20, " MiB"));
  }
  const uint64_t window = 1ull << (*bits - 1);
  const uint64_t above = (arm64::kRam + size + arm64::kMemoryBlock - 1) /
                         arm64::kMemoryBlock * arm64::kMemoryBlock;
  return MemoryPlan{
      .ram = {{Gpa{arm64::kRam}, size}},
      .ecam = *AddressRange::Make(arm64::kEcam, arm64::kEcamSize),
      .mmio32 = *AddressRange::Make(arm64::kPciMmio32, arm64::kPciMmio32Size),
      .mmio64 = *AddressRange::Make(window, window),
      .device_memory = above < window
                           ? AddressRange::Make(above, window - above)
                           : std::nullopt,
      .memory_block = arm64::kMemoryBlock,
      .hotplug = {},
      // The device tree has no word for it.
      .names_hotplug_nodes = config.acpi};
}

uint32_t VcpuId(const CpuConfig& /*cpus*/, uint32_t index) { return index; }

}  // namespace kvmlet::arch
