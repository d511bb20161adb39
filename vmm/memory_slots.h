// SPDX-License-Identifier: Apache-2.0
// The KVM memory slots of one memory device: a slot exists where a block of it
// is plugged, so that a vCPU cannot reach memory that was never plugged or is
// wholly gone. Slots are made before the guest may use them and removed some
// time after their last block went, several at once, because a removal makes
// KVM drop more of its page tables than the slot's, and not while the guest is
// plugging: it will soon want them again.
//
// Threads: as MemoryListener; the removal runs on the loop, on which the
// device plugs and unplugs too. Units: bytes.
// Specification: Documentation/virt/kvm/api.rst, KVM_SET_USER_MEMORY_REGION.
#ifndef KVMLET_VMM_MEMORY_SLOTS_H_
#define KVMLET_VMM_MEMORY_SLOTS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/event/event_loop.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/memory/device_memory.h"
#include "vmm/memory/memory_listener.h"

namespace kvmlet {

class MemorySlots final : public MemoryListener {
 public:
  static constexpr std::chrono::milliseconds kRemoveDelay{2000};
  // However much is plugged and unplugged elsewhere meanwhile.
  static constexpr std::chrono::milliseconds kLongestDelay{5000};

  // Everything outlives it; `loop` runs on the thread that plugs.
  MemorySlots(KvmVm& vm, const DeviceMemory& memory, EventLoop& loop);
  // Leaves the slots to the VM, whose end is near. The loop does not run, or
  // this is its thread.
  ~MemorySlots() override;

  absl::Status OnPlug(const RamRegion& part) override;
  void OnUnplug(const RamRegion& part) override;

  // Removes the slots without a plugged block now.
  void RemoveIdle();
  // From any thread.
  size_t count() const { return count_; }

 private:
  absl::Status Add(uint64_t index);
  void Remove(uint64_t index);
  bool Idle(uint64_t index) const;
  // Anew, if it was planned already, but not beyond the longest delay.
  void ScheduleRemoval();

  KvmVm& vm_;
  const DeviceMemory& memory_;
  EventLoop& loop_;
  std::vector<std::optional<uint32_t>> slots_;  // KVM's numbers
  std::atomic<size_t> count_{0};
  std::optional<EventLoop::TimerId> timer_;
  std::chrono::steady_clock::time_point latest_;  // while there is a timer
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_SLOTS_H_
