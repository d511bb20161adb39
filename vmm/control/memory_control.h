// SPDX-License-Identifier: Apache-2.0
// What the control plane may ask of the machine's memory devices, and what it
// learns about them. The machine implements it; tests implement a fake.
//
// Threads: the main loop's thread only. Units: bytes.
#ifndef KVMLET_VMM_CONTROL_MEMORY_CONTROL_H_
#define KVMLET_VMM_CONTROL_MEMORY_CONTROL_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvmlet {

struct MemoryDeviceInfo {
  std::string id;
  uint64_t address = 0;
  uint64_t requested = 0;
  uint64_t plugged = 0;
  uint64_t usable = 0;
  uint64_t max = 0;
  uint64_t block = 0;
  uint32_t node = 0;
  bool prealloc = false;
  std::string backing;  // "anonymous", "hugetlb-2M", a file's path
  // Why `plugged` is not `requested`: "complete", "no-driver", "busy",
  // "in-progress" or "stalled", and the same as a sentence.
  std::string state;
  std::string reason;
  uint64_t slots = 0;  // KVM's
  uint64_t touched_unplugged = 0;
  // Requests by answer since the start.
  uint64_t acks = 0;
  uint64_t nacks = 0;
  uint64_t busies = 0;
  uint64_t errors = 0;
};

// Memory that is there as long as the machine: a virtio-pmem device.
struct FixedMemoryInfo {
  std::string id;
  uint64_t address = 0;
  uint64_t size = 0;
  std::string path;  // of the file behind it
  bool read_only = false;
};

// A fault that a device shows its driver, see devices/virtio/mem_faults.h.
struct MemoryFault {
  std::string request;   // "plug", "unplug", "unplug-all", "state", or empty
  std::string response;  // "nack", "busy", "error", or empty: only late
  uint64_t count = 0;    // 0: until cleared
  std::chrono::milliseconds delay{0};
  uint64_t offset = 0;
  uint64_t size = 0;  // 0: all blocks
};

class MemoryControl {
 public:
  virtual ~MemoryControl() = default;
  virtual std::vector<MemoryDeviceInfo> memory_devices() const = 0;
  virtual std::vector<FixedMemoryInfo> fixed_memory() const = 0;
  // The members below are NotFound when there is no such device.
  // Adjacent plugged blocks as first block and count.
  virtual absl::StatusOr<std::vector<std::pair<uint64_t, uint64_t>>>
  PluggedBlocks(std::string_view id) const = 0;
  virtual absl::Status AddFault(std::string_view id,
                                const MemoryFault& fault) = 0;
  virtual absl::Status ClearFaults(std::string_view id) = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_MEMORY_CONTROL_H_
