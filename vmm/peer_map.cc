// SPDX-License-Identifier: Apache-2.0
#include "vmm/peer_map.h"

#include <glog/logging.h>

#include "vmm/base/status_macros.h"

namespace kvmlet {

absl::StatusOr<uint32_t> PeerMap::MapHost(uint64_t guest, uint64_t size,
                                          const void* host) {
  KVMLET_ASSIGN_OR_RETURN(const uint32_t number,
                          guest_.MapHost(guest, size, host));
  const std::lock_guard lock(mutex_);
  Bar& bar = bars_[number];
  bar = {.guest = guest, .size = size, .host = host, .tried = {}, .mapped = {}};
  Show(bar);
  return number;
}

// The devices first: what the host may make unreachable afterwards must be out
// of reach for all.
absl::Status PeerMap::UnmapHost(uint32_t mapping) {
  {
    const std::lock_guard lock(mutex_);
    const auto bar = bars_.find(mapping);
    if (bar != bars_.end()) {
      HideAll(bar->second);
      bars_.erase(bar);
    }
  }
  return guest_.UnmapHost(mapping);
}

void PeerMap::AddDevice(vfio::AddressSpace& space) {
  const std::lock_guard lock(mutex_);
  ++spaces_[&space];
  for (auto& [number, bar] : bars_) Show(bar);
}

void PeerMap::RemoveDevice(vfio::AddressSpace& space) {
  const std::lock_guard lock(mutex_);
  const auto found = spaces_.find(&space);
  CHECK(found != spaces_.end());
  if (--found->second == 0) {
    spaces_.erase(found);
    for (auto& [number, bar] : bars_) Hide(bar, space);
  }
  if (Wanted()) return;
  for (auto& [number, bar] : bars_) HideAll(bar);
}

// A device alone has nobody to reach.
bool PeerMap::Wanted() const {
  size_t devices = 0;
  for (const auto& [space, count] : spaces_) devices += count;
  return devices > 1;
}

void PeerMap::Show(Bar& bar) {
  if (!Wanted()) return;
  for (const auto& [space, count] : spaces_) {
    if (!bar.tried.insert(space).second) continue;
    const absl::Status status = space->Map(bar.guest, bar.size, bar.host,
                                           vfio::AddressSpace::Pages::kDevice);
    if (status.ok()) {
      bar.mapped.insert(space);
      continue;
    }
    LOG_FIRST_N(INFO, 4) << "devices cannot reach each other's registers: "
                         << status.message();
  }
}

void PeerMap::Hide(Bar& bar, vfio::AddressSpace& space) {
  bar.tried.erase(&space);
  if (bar.mapped.erase(&space) == 0) return;
  const absl::Status status = space.Unmap(bar.guest);
  LOG_IF(WARNING, !status.ok()) << status.message();
}

void PeerMap::HideAll(Bar& bar) {
  while (!bar.mapped.empty()) Hide(bar, **bar.mapped.begin());
  bar.tried.clear();
}

}  // namespace kvmlet
