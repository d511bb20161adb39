// SPDX-License-Identifier: Apache-2.0
// The host's mapping of one BAR of a device, and its appearance in the guest's
// address space: what may be mapped is reached by the guest without an exit,
// the rest through the monitor.
//
// Threads: one at a time. Addresses and sizes in bytes. The device and the
// mapper outlive it.
#ifndef KVMLET_DEVICES_VFIO_MAPPED_BAR_H_
#define KVMLET_DEVICES_VFIO_MAPPED_BAR_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/vfio/host_device.h"
#include "vmm/base/mapped_region.h"
#include "vmm/bus/guest_mapper.h"

namespace kvmlet::vfio {

class MappedBar {
 public:
  // `holes` are parts that must not be mapped.
  static absl::StatusOr<std::unique_ptr<MappedBar>> Create(
      HostDevice& device, uint8_t index, std::span<const Area> holes,
      GuestMapper& mapper);
  ~MappedBar() { Unmap().IgnoreError(); }

  // Shows it at this guest address; a page that the mapper refuses stays
  // trapped. The error is for the log.
  absl::Status Map(uint64_t address);
  // Takes it away: the host may make the BAR unreachable afterwards.
  absl::Status Unmap();
  size_t slots() const { return slots_.size(); }
  std::span<const Area> areas() const { return areas_; }

 private:
  explicit MappedBar(GuestMapper& mapper) : mapper_(mapper) {}

  GuestMapper& mapper_;
  MappedRegion host_;
  std::vector<Area> areas_;
  std::vector<uint32_t> slots_;
};

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_MAPPED_BAR_H_
