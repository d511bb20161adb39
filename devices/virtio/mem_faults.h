// SPDX-License-Identifier: Apache-2.0
// Faults that a tester asks a memory device to show, so that the paths which a
// guest's driver takes when the host refuses can be walked at will. Off until
// told; rules apply in the order they were added, each to so many requests.
//
// Threads: any. Units: bytes, milliseconds.
#ifndef KVMLET_DEVICES_VIRTIO_MEM_FAULTS_H_
#define KVMLET_DEVICES_VIRTIO_MEM_FAULTS_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "devices/virtio/mem_spec.h"

namespace kvmlet::virtio {

struct MemFault {
  // Which requests; every one when neither is given. A range matches requests
  // that touch it, [offset, offset + size) within the region.
  std::optional<MemRequestType> request;
  uint64_t offset = 0;
  uint64_t size = 0;  // 0: any
  // How many of them; 0: until it is cleared.
  uint64_t count = 0;
  // What happens: an answer that changes nothing, after a delay; without an
  // answer the request is only late.
  std::optional<MemResponseType> response;
  std::chrono::milliseconds delay{0};
  uint64_t hits = 0;  // so far
};

class MemFaults {
 public:
  void Add(MemFault fault);
  void Clear();
  std::vector<MemFault> faults() const;
  // The rule for this request, one hit of which is then used up.
  std::optional<MemFault> Take(const MemRequest& request,
                               const MemConfig& config);

 private:
  mutable std::mutex mutex_;
  std::vector<MemFault> faults_;  // guarded by mutex_
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_MEM_FAULTS_H_
