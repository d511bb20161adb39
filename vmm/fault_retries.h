// SPDX-License-Identifier: Apache-2.0
// Which vCPUs may try an access again that the host could not make: those that
// have not tried since something was last taken out of the way. Two may fault
// at the same place at once, and the second finds it cleared already; none
// tries for ever.
//
// Threads: any; a leaf lock.
#ifndef KVMLET_VMM_FAULT_RETRIES_H_
#define KVMLET_VMM_FAULT_RETRIES_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

namespace kvmlet {

class FaultRetries {
 public:
  // Something was taken out of the way.
  void Cleared() {
    const std::lock_guard lock(mutex_);
    ++cleared_;
  }
  bool MayRetry(uint32_t vcpu) {
    const std::lock_guard lock(mutex_);
    return std::exchange(seen_[vcpu], cleared_) != cleared_;
  }

 private:
  std::mutex mutex_;
  uint64_t cleared_ = 0;               // guarded by mutex_
  std::map<uint32_t, uint64_t> seen_;  // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_FAULT_RETRIES_H_
