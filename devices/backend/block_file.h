// SPDX-License-Identifier: Apache-2.0
// A disk in a raw image file or on a block device of the host, already open.
// OpenDisk() is the usual way to one; tests make one around a memfd.
//
// Threads: any. Units: bytes.
#ifndef KVMLET_DEVICES_BACKEND_BLOCK_FILE_H_
#define KVMLET_DEVICES_BACKEND_BLOCK_FILE_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "devices/backend/block_backend.h"
#include "devices/backend/block_steps.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

class BlockFile : public BlockBackend {
 public:
  // `options` as given to OpenDisk; `fd` was opened accordingly. Refuses a
  // size that no guest could use.
  static absl::StatusOr<std::unique_ptr<BlockBackend>> Create(
      UniqueFd fd, const DiskOptions& options);

  bool read_only() const override { return read_only_; }
  const BlockGeometry& geometry() const override { return geometry_; }
  absl::StatusOr<uint64_t> ReadSize() const override;
  absl::StatusOr<std::unique_ptr<BlockQueue>> NewQueue(uint16_t depth) override;

 private:
  BlockFile(UniqueFd fd, const DiskOptions& options);
  absl::Status Probe();
  void ProbeDirect();
  void ProbeBlockDevice();

  UniqueFd fd_;
  const std::string label_;  // "--disk PATH"
  const bool read_only_;
  const bool direct_;
  std::atomic<bool> synchronous_;
  BlockGeometry geometry_;
  BlockFileTraits traits_;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_BLOCK_FILE_H_
