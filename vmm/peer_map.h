// SPDX-License-Identifier: Apache-2.0
// Lets passed-through devices of one guest reach each other's BARs, at the
// addresses where the guest sees them: what a BAR's mapping into the guest
// does is done for the devices, too, while there are two of them or more. A
// host that refuses it leaves the BAR out of their reach, and nothing else.
//
// Threads: any; one lock, above those of the address spaces. Units: bytes.
// Specification: Linux, Documentation/driver-api/vfio.rst.
#ifndef KVMLET_VMM_PEER_MAP_H_
#define KVMLET_VMM_PEER_MAP_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/vfio/address_space.h"
#include "vmm/bus/guest_mapper.h"

namespace kvmlet {

class PeerMap final : public GuestMapper {
 public:
  // `guest` maps for the vCPUs, and outlives it.
  explicit PeerMap(GuestMapper& guest) : guest_(guest) {}

  absl::StatusOr<uint32_t> MapHost(uint64_t guest, uint64_t size,
                                   const void* host) override;
  absl::Status UnmapHost(uint32_t mapping) override;

  // A device came into a space that can map BARs, or left it.
  void AddDevice(vfio::AddressSpace& space);
  void RemoveDevice(vfio::AddressSpace& space);

 private:
  struct Bar {
    uint64_t guest = 0;
    uint64_t size = 0;
    const void* host = nullptr;
    std::set<vfio::AddressSpace*> tried;
    std::set<vfio::AddressSpace*> mapped;
  };
  // All with mutex_ held.
  bool Wanted() const;
  void Show(Bar& bar);
  void Hide(Bar& bar, vfio::AddressSpace& space);
  void HideAll(Bar& bar);

  GuestMapper& guest_;
  std::mutex mutex_;
  std::map<uint32_t, Bar> bars_;                  // guarded by mutex_
  std::map<vfio::AddressSpace*, size_t> spaces_;  // devices; same
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_PEER_MAP_H_
