// SPDX-License-Identifier: Apache-2.0
// KVM's own statistics of a VM or a vCPU. The layout is read once, when the
// descriptor is opened; afterwards a look at all values is one pread. What a
// newer kernel adds (an unknown type or unit, longer names) is skipped, and a
// layout that contradicts itself is an error, never a wild read.
//
// Threads: Read from any thread, also beside KVM_RUN.
// Specification: Documentation/virt/kvm/api.rst, 4.133 KVM_GET_STATS_FD.
#ifndef KVMLET_VMM_KVM_KVM_STATS_H_
#define KVMLET_VMM_KVM_KVM_STATS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/base/stats.h"
#include "vmm/base/unique_fd.h"
#include "vmm/kvm/kvm_fd.h"

namespace kvmlet {

// Where the values lie, out of what precedes them in the file.
struct KvmStatsLayout {
  struct Entry {
    StatInfo info;
    uint32_t offset = 0;  // from data_offset, bytes
    uint16_t size = 0;    // how many 64-bit values
  };
  uint64_t data_offset = 0;
  uint64_t data_size = 0;  // bytes
  std::vector<Entry> entries;

  // `file` is the file's beginning, with every descriptor.
  static absl::StatusOr<KvmStatsLayout> Parse(std::span<const std::byte> file);
  // `data` has data_size bytes.
  std::vector<Stat> Values(std::span<const std::byte> data) const;
};

class KvmStats {
 public:
  // Of a VM or a vCPU. Unavailable when this KVM has no such statistics
  // (Linux before 5.14).
  static absl::StatusOr<KvmStats> Open(const KvmFd& of);

  absl::StatusOr<std::vector<Stat>> Read() const;

 private:
  KvmStats(UniqueFd fd, KvmStatsLayout layout)
      : fd_(std::move(fd)), layout_(std::move(layout)) {}
  UniqueFd fd_;
  KvmStatsLayout layout_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_KVM_STATS_H_
