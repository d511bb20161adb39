// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/mem_faults.h"

namespace kvmlet::virtio {
namespace {

bool Matches(const MemFault& fault, const MemRequest& request,
             const MemConfig& config) {
  if (fault.count != 0 && fault.hits == fault.count) return false;
  const auto type = static_cast<MemRequestType>(request.type);
  if (fault.request && *fault.request != type) return false;
  if (fault.size == 0) return true;
  if (type == MemRequestType::kUnplugAll) return false;
  // Below the region it wraps, and is beyond every range.
  const uint64_t first = request.addr - config.addr;
  const uint64_t length = request.nb_blocks * config.block_size;
  return first < fault.offset ? fault.offset - first < length
                              : first - fault.offset < fault.size;
}

}  // namespace

void MemFaults::Add(MemFault fault) {
  const std::lock_guard lock(mutex_);
  fault.hits = 0;
  faults_.push_back(fault);
}

void MemFaults::Clear() {
  const std::lock_guard lock(mutex_);
  faults_.clear();
}

std::vector<MemFault> MemFaults::faults() const {
  const std::lock_guard lock(mutex_);
  return faults_;
}

std::optional<MemFault> MemFaults::Take(const MemRequest& request,
                                        const MemConfig& config) {
  const std::lock_guard lock(mutex_);
  for (MemFault& fault : faults_) {
    if (!Matches(fault, request, config)) continue;
    ++fault.hits;
    return fault;
  }
  return std::nullopt;
}

}  // namespace kvmlet::virtio
