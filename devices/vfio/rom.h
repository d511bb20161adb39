// SPDX-License-Identifier: Apache-2.0
// The expansion ROM that a guest finds: the device's own, read once when the
// guest first looks at it, or a file in its place. A guest cannot write it.
//
// Threads: Read from any. Sizes and offsets in bytes; the size is a power of
// two, as PCI wants it. Errors: a Status that names the file and the remedy.
// Specification: PCI Local Bus 3.0, sections 6.2.5.2 and 6.3.
#ifndef KVMLET_DEVICES_VFIO_ROM_H_
#define KVMLET_DEVICES_VFIO_ROM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/vfio/host_device.h"

namespace kvmlet::vfio {

struct RomSource {
  bool shown = true;
  std::string file;  // instead of the device's own, unless empty
};

class Rom {
 public:
  // Null when there is none to show.
  static absl::StatusOr<std::unique_ptr<Rom>> Create(const HostDevice& device,
                                                     const RomSource& source);

  uint64_t size() const { return size_; }
  // Within the size; ones beyond what there is.
  void Read(const HostDevice& device, uint64_t offset,
            std::span<std::byte> data);

 private:
  Rom(uint64_t size, std::vector<std::byte> bytes)
      : size_(size), read_(!bytes.empty()), bytes_(std::move(bytes)) {}

  const uint64_t size_;
  std::mutex mutex_;
  bool read_;                     // guarded by mutex_
  std::vector<std::byte> bytes_;  // guarded by mutex_
};

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_ROM_H_
