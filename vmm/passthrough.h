// SPDX-License-Identifier: Apache-2.0
// The passed-through devices of a machine: opens them into one address space,
// lets them reach the guest's memory, and hears when the host wants a device
// back or a device reports an error. Devices come and go while it runs.
//
// Threads: the main loop's, except OnMemoryFault. It outlives the PCI root bus
// that owns the devices, and dies before the VM and the memory.
#ifndef KVMLET_VMM_PASSTHROUGH_H_
#define KVMLET_VMM_PASSTHROUGH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/vfio/address_space.h"
#include "devices/vfio/vfio_pci.h"
#include "vmm/base/event_fd.h"
#include "vmm/config.h"
#include "vmm/control/events.h"
#include "vmm/dma_map.h"
#include "vmm/event/event_loop.h"
#include "vmm/fault_retries.h"
#include "vmm/kvm/kvm_vfio.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/peer_map.h"

namespace kvmlet {

class Passthrough {
 public:
  struct Context {
    const VmConfig& config;
    KvmVm& vm;
    const GuestMemory& memory;
    EventLoop& loop;
    Events& events;
    // The host wants this device back: Detach it soon, or the host waits. It
    // asks again every now and then.
    std::function<void(const std::string& id)> on_request;
  };

  // Checks what can be checked before a device is opened.
  static absl::StatusOr<std::unique_ptr<Passthrough>> Create(
      const Context& context);
  ~Passthrough();
  Passthrough(const Passthrough&) = delete;
  Passthrough& operator=(const Passthrough&) = delete;

  absl::StatusOr<std::unique_ptr<pci::PciDevice>> Open(
      const VfioConfig& config);
  // Lets go of the host's device; the guest reads ones from then on.
  void Detach(std::string_view id);
  // Does that, and knows the device no more; before the function is destroyed.
  void Forget(std::string_view id);

  // All of RAM, pinned: from then on its pages must not be given back. Memory
  // devices' blocks while they are plugged. Devices that are opened later
  // reach it at once.
  absl::Status MapMemory();
  absl::Status UnmapMemory();

  // A vCPU touched guest-physical memory that the host could not reach. True
  // when it may try again (see FaultRetries). On a vCPU's thread.
  bool OnMemoryFault(uint32_t vcpu);

 private:
  // What one or more devices reach.
  struct Space {
    std::unique_ptr<vfio::AddressSpace> space;
    size_t devices = 0;
    bool iommufd = false;
    std::vector<uint64_t> mapped;
    std::vector<std::unique_ptr<DmaMap>> maps;  // one a memory device
  };
  struct Device {
    std::string id;
    std::string bdf;
    Space* space = nullptr;
    vfio::VfioPci* function = nullptr;  // the root bus owns it
    std::optional<EventFd> request;     // the host wants it back
    std::optional<EventFd> error;
  };
  explicit Passthrough(const Context& context)
      : context_(context), peers_(context.vm) {}
  // The device itself, and the address space it is in.
  absl::StatusOr<std::unique_ptr<vfio::DeviceHandle>> OpenHere(
      const VfioConfig& config, std::string& bdf, Space*& space);
  absl::StatusOr<std::unique_ptr<vfio::DeviceHandle>> OpenFromBroker(
      const VfioConfig& config, std::string& bdf, Space*& space);
  bool WantsIommufd(const VfioConfig& config,
                    const vfio::DeviceFacts& facts) const;
  vfio::AddressSpace::Context SpaceContext() const;
  // Remembers what the space shall reach, if that is known yet.
  absl::StatusOr<Space*> AddSpace(std::unique_ptr<vfio::AddressSpace> space);
  void DropIfIdle(Space* space);
  absl::Status Map(Space& space);
  absl::Status Unmap(Space& space);
  Device* Find(std::string_view id);
  absl::StatusOr<std::unique_ptr<pci::PciDevice>> MakeFunction(
      Device& device, std::unique_ptr<vfio::DeviceHandle> handle,
      const VfioConfig& config);
  absl::Status Watch(Device& device, vfio::HostDevice& host);
  void OnRequest(Device& device);
  void OnError(Device& device);

  const Context context_;
  PeerMap peers_;
  std::unique_ptr<KvmVfio> kvm_;
  // One for all devices that are opened here, and one for each that comes from
  // a broker, in its container.
  std::vector<std::unique_ptr<Space>> spaces_;
  Space* own_space_ = nullptr;
  bool memory_is_mapped_ = false;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Device>> devices_;  // guarded by mutex_
  FaultRetries retries_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_PASSTHROUGH_H_
