// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory_slots.h"

#include <glog/logging.h>

#include <algorithm>

#include "vmm/base/status_macros.h"

namespace kvmlet {

MemorySlots::MemorySlots(KvmVm& vm, const DeviceMemory& memory, EventLoop& loop)
    : vm_(vm),
      memory_(memory),
      loop_(loop),
      slots_((memory.size() + memory.slot_size() - 1) / memory.slot_size()) {}

MemorySlots::~MemorySlots() {
  if (timer_) loop_.Cancel(*timer_);
}

absl::Status MemorySlots::Add(uint64_t index) {
  const uint64_t offset = index * memory_.slot_size();
  const uint64_t size = std::min(memory_.slot_size(), memory_.size() - offset);
  KVMLET_ASSIGN_OR_RETURN(
      slots_[index], vm_.AddMemorySlot(memory_.base() + offset, size,
                                       memory_.Part(0, 0).host + offset, 0));
  ++count_;
  return absl::OkStatus();
}

void MemorySlots::Remove(uint64_t index) {
  const absl::Status status = vm_.RemoveMemorySlot(*slots_[index]);
  if (!status.ok()) {
    LOG(WARNING) << "memory slot stays: " << status.message();
    return;
  }
  slots_[index].reset();
  --count_;
}

bool MemorySlots::Idle(uint64_t index) const {
  const uint64_t blocks = memory_.slot_size() / memory_.block_size();
  const uint64_t first = index * blocks;
  return memory_.StateOf(first,
                         std::min(blocks, memory_.block_count() - first)) ==
         DeviceMemory::BlockState::kUnplugged;
}

absl::Status MemorySlots::OnPlug(const RamRegion& part) {
  // A guest that grows again soon wants the others back, too.
  if (timer_) ScheduleRemoval();
  const uint64_t first = part.fd_offset / memory_.slot_size();
  const uint64_t last = (part.fd_offset + part.size - 1) / memory_.slot_size();
  std::vector<uint64_t> added;
  for (uint64_t index = first; index <= last; ++index) {
    if (slots_[index]) continue;
    const absl::Status status = Add(index);
    if (!status.ok()) {
      for (const uint64_t undo : added) Remove(undo);
      return status;
    }
    added.push_back(index);
  }
  return absl::OkStatus();
}

void MemorySlots::OnUnplug(const RamRegion& part) {
  const uint64_t first = part.fd_offset / memory_.slot_size();
  const uint64_t last = (part.fd_offset + part.size - 1) / memory_.slot_size();
  bool idle = false;
  for (uint64_t index = first; index <= last && !idle; ++index) {
    idle = slots_[index] && Idle(index);
  }
  // Each unplug puts it off again: the last one removes them all.
  if (idle) ScheduleRemoval();
}

void MemorySlots::ScheduleRemoval() {
  const auto now = std::chrono::steady_clock::now();
  if (timer_) {
    loop_.Cancel(*timer_);
  } else {
    latest_ = now + kLongestDelay;
  }
  const auto delay = std::clamp<std::chrono::steady_clock::duration>(
      latest_ - now, std::chrono::steady_clock::duration::zero(), kRemoveDelay);
  timer_ = loop_.RunAfter(delay, [this] {
    timer_.reset();
    RemoveIdle();
  });
}

void MemorySlots::RemoveIdle() {
  for (uint64_t index = 0; index < slots_.size(); ++index) {
    if (slots_[index] && Idle(index)) Remove(index);
  }
}

}  // namespace kvmlet
