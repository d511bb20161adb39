// SPDX-License-Identifier: Apache-2.0
// A vhost device of the host's kernel (/dev/vhost-net, /dev/vhost-vsock): it
// serves virtqueues by itself. This class is the typed face of its requests
// and knows neither guest memory nor virtqueues, only host addresses.
//
// Threads: not thread-safe. Units: bytes. Errors: the request's name and
// errno. Specification: linux/vhost.h.
#ifndef KVMLET_DEVICES_BACKEND_VHOST_H_
#define KVMLET_DEVICES_BACKEND_VHOST_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

// What the virtio transport negotiates on its own (VERSION_1, EVENT_IDX,
// INDIRECT_DESC): a kernel that lacks one of them cannot take a queue over.
inline constexpr uint64_t kVhostNeeds = 1ull << 32 | 1ull << 29 | 1ull << 28;

struct VhostRegion {
  uint64_t guest = 0;
  uint64_t size = 0;
  const std::byte* host = nullptr;
};

struct VhostRing {
  uint16_t size = 0;
  const std::byte* desc = nullptr;
  const std::byte* avail = nullptr;
  const std::byte* used = nullptr;
  int kick = -1;   // eventfd that the guest signals
  int call = -1;   // eventfd that notifies the guest
  int error = -1;  // eventfd that the kernel signals for a broken ring
};

class VhostDevice {
 public:
  // Opens the node and makes this process its owner.
  static absl::StatusOr<VhostDevice> Open(std::string path);

  VhostDevice(VhostDevice&&) = default;
  VhostDevice& operator=(VhostDevice&&) = default;

  // Virtio feature bits that the kernel's data path knows.
  uint64_t features() const { return features_; }

  // Negotiated features and guest memory; while no ring runs.
  absl::Status Configure(uint64_t features,
                         std::span<const VhostRegion> regions);
  // Hands a fresh ring over. It runs once its backend is set.
  absl::Status SetRing(uint32_t index, const VhostRing& ring);
  // Lets go of the ring's eventfds; the ring must not run.
  void ClearRing(uint32_t index);

  // vhost-net: the ring's tap. Returns when the ring runs.
  absl::Status StartNet(uint32_t index, int tap);
  // Returns when the kernel no longer touches the ring or guest memory.
  void StopNet(uint32_t index);

  // vhost-vsock.
  absl::Status SetGuestCid(uint64_t cid);
  absl::Status StartVsock();
  void StopVsock();

 private:
  VhostDevice(UniqueFd fd, std::string path, uint64_t features)
      : fd_(std::move(fd)), path_(std::move(path)), features_(features) {}
  absl::Status Request(unsigned long request, const char* name,
                       const void* argument) const;

  UniqueFd fd_;
  std::string path_;
  uint64_t features_ = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_VHOST_H_
