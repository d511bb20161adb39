// SPDX-License-Identifier: Apache-2.0
// Copies mapped memory that may not be readable: a page that the host's memory
// has lost, or that a truncated file has no more, is an answer here and not a
// signal. It lets the kernel copy, into a buffer that it keeps.
//
// Not thread-safe. Units: bytes. Errors: Create's, from the host.
#ifndef KVMLET_VMM_CORE_MEMORY_COPIER_H_
#define KVMLET_VMM_CORE_MEMORY_COPIER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "vmm/base/mapped_region.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

class MemoryCopier {
 public:
  static constexpr uint64_t kMost = 1 << 20;

  static absl::StatusOr<MemoryCopier> Create();

  // The first bytes at `from`, up to what cannot be read, at most kMost; empty
  // when that is the first. Good until the next call.
  std::span<std::byte> Copy(const std::byte* from, uint64_t size) const;

 private:
  MemoryCopier(UniqueFd fd, MappedRegion buffer)
      : fd_(std::move(fd)), buffer_(std::move(buffer)) {}
  UniqueFd fd_;
  MappedRegion buffer_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CORE_MEMORY_COPIER_H_
