// SPDX-License-Identifier: Apache-2.0
// What VmConfig::Validate() checks about the guest's memory: RAM, NUMA nodes,
// and the devices that bring more. Pure functions, thread-safe; bytes. An
// error is one line that names the flag, the value and the remedy.
#ifndef KVMLET_VMM_CONFIG_CHECKS_H_
#define KVMLET_VMM_CONFIG_CHECKS_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "vmm/config.h"

namespace kvmlet {

template <typename... Parts>
absl::Status Wrong(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status CheckMemory(const MemoryConfig& memory);
// The nodes share all of the memory and all vCPUs.
absl::Status CheckNuma(const VmConfig& config);
// `nodes`: how many there are.
absl::Status CheckVirtioMem(const VirtioMemConfig& mem, size_t nodes);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONFIG_CHECKS_H_
