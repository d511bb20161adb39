// SPDX-License-Identifier: Apache-2.0
// The machine's virtio-mem devices: places their regions in guest-physical
// space, builds each with its memory and KVM slots, and answers for them to
// the control plane.
//
// Threads: the main loop's, but for what the devices call on their own loops.
// Units: bytes.
#ifndef KVMLET_VMM_MEMORY_DEVICES_H_
#define KVMLET_VMM_MEMORY_DEVICES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/arch.h"
#include "devices/virtio/mem.h"
#include "vmm/config.h"
#include "vmm/control/events.h"
#include "vmm/control/memory_control.h"
#include "vmm/control/qom.h"
#include "vmm/event/event_loop.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/memory/gpa_allocator.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory_slots.h"

namespace kvmlet {

class MemoryDevices final : public MemoryControl {
 public:
  // Everything outlives it; `loop` is the main one.
  MemoryDevices(const VmConfig& config, EventLoop& loop, Events& events)
      : config_(config), loop_(loop), events_(events) {}

  // Takes a place for each region, makes it part of `memory`, and says so in
  // the plan.
  absl::Status Place(arch::MemoryPlan& plan, GpaAllocator& window,
                     GuestMemory& memory);
  size_t count() const { return devices_.size(); }
  const VirtioMemConfig& config(size_t index) const {
    return config_.virtio_mems[index];
  }
  // What is behind it, for people.
  std::string BackingOf(size_t index) const;
  // The device at `index`, whose requests `io` serves, and its properties.
  // Whoever takes it keeps it as long as this lives.
  absl::StatusOr<std::unique_ptr<virtio::MemDevice>> Build(size_t index,
                                                           KvmVm& vm,
                                                           EventLoop& io,
                                                           QomObjects& objects);
  // One that is there for good, for the list.
  void AddFixed(FixedMemoryInfo info) { fixed_.push_back(std::move(info)); }
  // After the devices' own reset, while no vCPU runs.
  void SystemReset();

  // MemoryControl.
  std::vector<MemoryDeviceInfo> memory_devices() const override;
  std::vector<FixedMemoryInfo> fixed_memory() const override { return fixed_; }
  absl::StatusOr<std::vector<std::pair<uint64_t, uint64_t>>> PluggedBlocks(
      std::string_view id) const override;
  absl::Status AddFault(std::string_view id, const MemoryFault& fault) override;
  absl::Status ClearFaults(std::string_view id) override;

 private:
  struct Device {
    DeviceMemory* memory = nullptr;       // GuestMemory's
    virtio::MemDevice* virtio = nullptr;  // the transport's
    std::unique_ptr<MemorySlots> slots;
    std::atomic<bool> changed{false};  // and an event is on its way
    uint64_t told = 0;                 // by the last event
  };
  MemoryDeviceInfo Describe(size_t index) const;
  absl::StatusOr<size_t> Find(std::string_view id) const;
  void AddProperties(size_t index, QomObjects& objects);
  // On the device's loop or the main one.
  void OnChange(size_t index);
  void Tell(size_t index);

  const VmConfig& config_;
  EventLoop& loop_;
  Events& events_;
  uint64_t memory_block_ = 0;
  bool names_nodes_ = false;
  std::vector<FixedMemoryInfo> fixed_;
  std::vector<std::unique_ptr<Device>> devices_;  // as in the configuration
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_DEVICES_H_
