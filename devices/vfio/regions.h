// SPDX-License-Identifier: Apache-2.0
// A device's regions as VFIO describes them, and which parts of a BAR the
// guest may reach without an exit: what the kernel lets be mapped, less the
// pages that hold the MSI-X table or its pending bits.
//
// Threads: values, no state. Offsets and sizes are bytes into the region.
// Specification: Linux, include/uapi/linux/vfio.h, VFIO_DEVICE_GET_REGION_INFO.
#ifndef KVMLET_DEVICES_VFIO_REGIONS_H_
#define KVMLET_DEVICES_VFIO_REGIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace kvmlet::vfio {

struct Area {
  uint64_t offset = 0;
  uint64_t size = 0;
  friend bool operator==(const Area&, const Area&) = default;
};

struct Region {
  uint64_t size = 0;
  uint64_t file_offset = 0;  // where it lies in the device's file
  bool readable = false;
  bool writable = false;
  bool mappable = false;
  // With a sparse list only these may be mapped; else all of it.
  std::optional<std::vector<Area>> sparse;
};

// What the kernel wrote for one region, capabilities and all.
absl::StatusOr<Region> ParseRegion(std::span<const std::byte> info);

// The parts to map, as whole pages, without the pages that `holes` touch.
std::vector<Area> MappableAreas(const Region& region,
                                std::span<const Area> holes,
                                uint64_t page_size);

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_REGIONS_H_
