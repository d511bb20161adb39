// SPDX-License-Identifier: Apache-2.0
// The whole contract between the monitor and an instruction set: address map,
// interrupt controller, fixed devices, boot, vCPU state and the exits that
// only one ISA has. arch/<isa>/ implements it and CMake links exactly one;
// nothing outside arch/ knows the ISA.
//
// Threads: functions and Platform members run on the building thread unless
// they say otherwise. Units: bytes, guest-physical addresses.
#ifndef KVMLET_ARCH_ARCH_H_
#define KVMLET_ARCH_ARCH_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/backend/char_backend.h"
#include "vmm/bus/address_range.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/guest_requests.h"
#include "vmm/bus/interrupts.h"
#include "vmm/config.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/memory_error.h"

namespace kvmlet::pci {
class PciRoot;
}

namespace kvmlet::arch {

// "x86_64", "aarch64": QEMU's name of the target.
std::string_view Name();

// Memory that a device plugs into the guest, and the NUMA node it names.
struct HotplugRange {
  AddressRange range;
  uint32_t node = 0;
};

// Where RAM and the PCI windows lie for this much memory on this host.
struct MemoryPlan {
  std::vector<RamRange> ram;
  AddressRange ecam;
  AddressRange mmio32;
  AddressRange mmio64;
  // Above all RAM and below mmio64, where the regions of memory devices lie;
  // nothing when RAM leaves no room.
  std::optional<AddressRange> device_memory;
  // The largest unit in which this ISA's Linux adds memory: regions there are
  // aligned to it.
  uint64_t memory_block = 0;
  // What the machine has placed there, before it creates the platform. The
  // guest must not find it in its memory map; NUMA tables name it.
  std::vector<HotplugRange> hotplug;
  // There are such tables: the guest learns which node a region belongs to.
  bool names_hotplug_nodes = false;
};
// `devices` is what memory devices want beside RAM: there is room for it where
// the host has the addresses.
absl::StatusOr<MemoryPlan> PlanMemory(const KvmSystem& system,
                                      const VmConfig& config, uint64_t devices);

// Fails, naming what is missing, when this KVM cannot run kvmlet's guests.
absl::Status CheckHost(const KvmSystem& system);

// KVM_CREATE_VM's argument.
unsigned long VmType(const KvmSystem& system, const MemoryPlan& plan);

// What became of an exit that the common loop does not handle.
enum class ExitResult {
  kResume,    // enter the guest again
  kHalt,      // the guest asked for its end through GuestRequests
  kDebug,     // the debugger's: see arch/debug.h
  kShutdown,  // triple fault or shutdown event
  kUnknown,   // KVM could not run the guest: see DescribeFailure
};

// What became of the news that memory is lost.
enum class MemoryErrorResult {
  kTold,        // the guest hears of it as soon as the vCPU runs
  kUntold,      // there is nothing to tell it, and it can go on
  kCannotTell,  // it has to know and cannot hear of it: it must not go on
  kLater,       // the guest is at an earlier one: ask again
};

struct VcpuTopology {
  uint32_t socket = 0;
  uint32_t core = 0;
  uint32_t thread = 0;
};
VcpuTopology TopologyOf(const CpuConfig& cpus, uint32_t index);
// KVM_CREATE_VCPU's argument for the vCPU of this index (x86: its APIC id).
uint32_t VcpuId(const CpuConfig& cpus, uint32_t index);

// What a platform is built from; everything outlives it.
struct PlatformContext {
  const VmConfig& config;
  const KvmSystem& system;
  KvmVm& vm;
  const GuestMemory& memory;
  const MemoryPlan& plan;
  Bus& mmio;
  Bus& pio;
  GuestRequests& requests;
  CharBackend& serial;
};

// What happened to a slot of the PCI root bus.
enum class PciChange {
  kPlugged,  // a device came
  kAsked,    // the guest shall give the device up
  kGone,     // the device is no more, and the guest was not asked
};

class Platform {
 public:
  virtual ~Platform() = default;

  virtual InterruptRouter& interrupts() = 0;
  // The wired interrupt of a PCI slot's pin (1 is INTA#).
  virtual uint32_t PciInterrupt(uint32_t slot, uint32_t pin) const = 0;
  // Puts what the ISA has beside ECAM (configuration ports) on the buses.
  virtual absl::Status AttachPci(pci::PciRoot& root) = 0;

  // CPUID, MSRs, feature registers: once, right after creation.
  virtual absl::Status SetUpVcpu(KvmVcpu& vcpu, uint32_t index) = 0;
  // After every vCPU exists and before the first run: what needs all of them.
  virtual absl::Status FinishVcpus() = 0;
  // Kernel, initrd, command line and firmware tables into clean memory; at
  // the start and at every reboot.
  virtual absl::Status LoadGuest() = 0;
  // Brings a vCPU to its state at power-on: vCPU 0 at the kernel's entry, the
  // others waiting. On the vCPU's thread. `first` is the start, where KVM's
  // own power-on state is still there.
  virtual absl::Status ResetVcpu(KvmVcpu& vcpu, uint32_t index, bool first) = 0;
  // Interrupt controller, timers and fixed devices back to power-on; no vCPU
  // runs.
  virtual absl::Status Reset() = 0;
  virtual absl::Status PowerButton() = 0;
  // The slots whose devices may come and go, a bit each, as the guest that was
  // loaded last knows them; none where guests cannot be told.
  virtual uint32_t pci_hotplug_slots() const { return 0; }
  // Tells the guest, for one of these slots.
  virtual void OnPciChange(PciChange /*change*/, uint8_t /*slot*/) {}

  // On the vCPU's thread.
  virtual ExitResult HandleExit(KvmVcpu& vcpu) = 0;
  // Tells the guest of memory that the host has lost: called for every vCPU,
  // with `own` for the one whose access met it, or vCPU 0 when none did; that
  // one first. On the vCPU's thread, outside the guest.
  virtual absl::StatusOr<MemoryErrorResult> InjectMemoryError(
      KvmVcpu& vcpu, const MemoryError& error, bool own) = 0;
  // Why KVM could not go on, in one line. On the vCPU's thread.
  virtual std::string DescribeFailure(KvmVcpu& vcpu) = 0;
  // The vCPU's registers as text. On the vCPU's thread.
  virtual absl::StatusOr<std::string> RegistersText(KvmVcpu& vcpu) = 0;
};

absl::StatusOr<std::unique_ptr<Platform>> CreatePlatform(
    const PlatformContext& context);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_ARCH_H_
