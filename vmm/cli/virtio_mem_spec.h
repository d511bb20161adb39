// SPDX-License-Identifier: Apache-2.0
// The value of --virtio-mem. Thread-safe; sizes are in bytes; an error is one
// line that names the flag.
#ifndef KVMLET_VMM_CLI_VIRTIO_MEM_SPEC_H_
#define KVMLET_VMM_CLI_VIRTIO_MEM_SPEC_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "vmm/config.h"

namespace kvmlet::cli {

absl::StatusOr<VirtioMemConfig> ParseVirtioMem(std::string_view text);

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_VIRTIO_MEM_SPEC_H_
