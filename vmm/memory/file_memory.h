// SPDX-License-Identifier: Apache-2.0
// A file that is guest memory by itself, beside RAM: mapped whole, at a host
// address that is congruent with its guest address, so that KVM can map what
// the host has in huge pages the same way. It stays as it is over a reset.
//
// Threads: any. Units: bytes. Errors name the flag, the file and the remedy.
#ifndef KVMLET_VMM_MEMORY_FILE_MEMORY_H_
#define KVMLET_VMM_MEMORY_FILE_MEMORY_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/mapped_region.h"
#include "vmm/memory/ram_region.h"

namespace kvmlet {

struct FileMemoryOptions {
  std::string flag;  // the one to blame, "--pmem"
  std::string path;  // a regular file or a block device
  // What the guest writes stays private memory, and the file as it is.
  bool read_only = false;
  // The host must have the file's own storage mapped (DAX), no copy of it.
  bool dax = false;
};

class FileMemory {
 public:
  // Linux adds persistent memory in parts of this size.
  static constexpr uint64_t kUnit = 2ull << 20;

  // The file's size, once it is known to be a usable one.
  static absl::StatusOr<uint64_t> SizeOf(const FileMemoryOptions& options);
  // A guest address has this alignment.
  static uint64_t AlignmentFor(uint64_t size);
  // Maps [0, size) of it. A sparse file gets all of its blocks first: no room
  // on the disk is an error here, and not a SIGBUS when the guest writes.
  static absl::StatusOr<std::unique_ptr<FileMemory>> Map(
      const FileMemoryOptions& options, Gpa base, uint64_t size);

  const RamRegion& region() const { return region_; }
  // A range of host memory is part of it.
  bool Maps(const iovec& range) const {
    const auto* at = static_cast<const std::byte*>(range.iov_base);
    return at >= region_.host && at < region_.host + region_.size;
  }

 private:
  FileMemory(MappedRegion mapping, RamRegion region)
      : mapping_(std::move(mapping)), region_(region) {}
  MappedRegion mapping_;
  RamRegion region_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_FILE_MEMORY_H_
