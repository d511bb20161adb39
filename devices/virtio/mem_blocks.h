// SPDX-License-Identifier: Apache-2.0
// The rules of a memory device: which answer a request gets, and how the
// sizes in the configuration space follow the host's wish and the driver's
// requests. No queue, no threads of its own.
//
// Threads: Handle and SystemReset one at a time; Resize and the getters from
// any thread beside them. Units: bytes.
// Specification: Virtio 1.3, section 5.15.
#ifndef KVMLET_DEVICES_VIRTIO_MEM_BLOCKS_H_
#define KVMLET_DEVICES_VIRTIO_MEM_BLOCKS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "devices/virtio/mem_spec.h"
#include "vmm/memory/device_memory.h"

namespace kvmlet::virtio {

class MemBlocks {
 public:
  struct Options {
    uint64_t requested = 0;  // at the start
    // The largest unit in which the guest's kernel may add memory. The usable
    // region must hold whole ones of them around what was requested, or the
    // guest finds no place for the last part.
    uint64_t memory_block = 0;
    std::optional<uint16_t> node;
    // How often what was touched while unplugged is looked for.
    std::chrono::milliseconds audit_period{10'000};
  };
  struct Answer {
    MemResponseType type = MemResponseType::kError;
    MemState state = MemState::kPlugged;
    std::string why{};      // of kBusy: what the host said
    bool injected = false;  // a fault's, not the host's
  };

  // `changing` is called with the lock held that config() takes, before a
  // field of it changes.
  MemBlocks(DeviceMemory& memory, const Options& options,
            std::function<void()> changing);

  MemConfig config() const;
  // What the host wants from now on. An error names the numbers.
  absl::Status Resize(uint64_t requested);
  Answer Handle(const MemRequest& request);
  // Nothing is plugged afterwards; what was requested stays so.
  void SystemReset();

 private:
  std::optional<BlockRun> Blocks(const MemRequest& request) const;
  Answer Plug(const BlockRun& blocks);
  Answer Unplug(const BlockRun& blocks);
  Answer State(const BlockRun& blocks) const;
  void UnplugAll();
  uint64_t UsableFor(uint64_t requested) const;
  // Copies the size after a change of the blocks.
  void UpdatePlugged();

  DeviceMemory& memory_;
  const uint64_t memory_block_;
  const std::function<void()> changing_;
  mutable std::mutex mutex_;
  MemConfig config_{};  // guarded by mutex_
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_MEM_BLOCKS_H_
