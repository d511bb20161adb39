// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/regions.h"

#include <linux/vfio.h>

#include <algorithm>
#include <cstring>

namespace kvmlet::vfio {
namespace {

constexpr int kMostHops = 32;
constexpr uint32_t kMostAreas = 256;

template <typename T>
bool LoadAt(std::span<const std::byte> bytes, size_t at, T& value) {
  if (at > bytes.size() || bytes.size() - at < sizeof(T)) return false;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return true;
}

std::vector<Area> ParseSparse(std::span<const std::byte> info, size_t at) {
  std::vector<Area> areas;
  vfio_region_info_cap_sparse_mmap list{};
  if (!LoadAt(info, at, list)) return areas;
  at += sizeof list;
  for (uint32_t i = 0; i < std::min(list.nr_areas, kMostAreas); ++i) {
    vfio_region_sparse_mmap_area area{};
    if (!LoadAt(info, at + i * sizeof area, area)) break;
    areas.push_back({area.offset, area.size});
  }
  return areas;
}

// Takes the pages [from, to) out of the list.
std::vector<Area> Without(const std::vector<Area>& areas, uint64_t from,
                          uint64_t to) {
  std::vector<Area> rest;
  for (const Area& area : areas) {
    const uint64_t end = area.offset + area.size;
    if (to <= area.offset || from >= end) {
      rest.push_back(area);
      continue;
    }
    if (from > area.offset) rest.push_back({area.offset, from - area.offset});
    if (to < end) rest.push_back({to, end - to});
  }
  return rest;
}

}  // namespace

absl::StatusOr<Region> ParseRegion(std::span<const std::byte> info) {
  vfio_region_info head{};
  if (!LoadAt(info, 0, head)) {
    return absl::InternalError("a region's description is too short");
  }
  Region region{.size = head.size,
                .file_offset = head.offset,
                .readable = (head.flags & VFIO_REGION_INFO_FLAG_READ) != 0,
                .writable = (head.flags & VFIO_REGION_INFO_FLAG_WRITE) != 0,
                .mappable = (head.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0,
                .sparse = std::nullopt};
  if ((head.flags & VFIO_REGION_INFO_FLAG_CAPS) == 0) return region;
  size_t at = head.cap_offset;
  for (int hops = 0; at != 0 && hops < kMostHops; ++hops) {
    vfio_info_cap_header header{};
    if (!LoadAt(info, at, header)) break;
    if (header.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
      region.sparse = ParseSparse(info, at);
    }
    at = header.next;
  }
  return region;
}

std::vector<Area> MappableAreas(const Region& region,
                                std::span<const Area> holes,
                                uint64_t page_size) {
  const uint64_t mask = page_size - 1;
  if (!region.mappable || region.size == 0) return {};
  // A BAR below a page has the page to itself, or the kernel would not let it
  // be mapped.
  const uint64_t whole = (region.size + mask) & ~mask;
  std::vector<Area> areas{{0, whole}};
  if (region.sparse) areas = *region.sparse;
  std::erase_if(areas, [&](const Area& area) {
    return area.size == 0 || ((area.offset | area.size) & mask) != 0 ||
           area.size > whole || area.offset > whole - area.size;
  });
  for (const Area& hole : holes) {
    if (hole.size == 0 || hole.offset >= whole) continue;
    const uint64_t size = std::min(hole.size, whole - hole.offset);
    areas = Without(areas, hole.offset & ~mask,
                    (hole.offset + size + mask) & ~mask);
  }
  return areas;
}

}  // namespace kvmlet::vfio
