// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/vhost.h"

#include <fcntl.h>
#include <sys/ioctl.h>

// The header's ring helpers are C only.
#define VIRTIO_RING_NO_LEGACY
#include <linux/vhost.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

uint64_t Address(const std::byte* at) { return reinterpret_cast<uint64_t>(at); }

}  // namespace

absl::StatusOr<VhostDevice> VhostDevice::Open(std::string path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.ok()) return OsRefused(errno, absl::StrCat("open ", path));
  uint64_t features = 0;
  if (::ioctl(fd.get(), VHOST_GET_FEATURES, &features) != 0) {
    return OsRefused(errno, absl::StrCat("VHOST_GET_FEATURES on ", path));
  }
  VhostDevice device(std::move(fd), std::move(path), features);
  KVMLET_RETURN_IF_ERROR(
      device.Request(VHOST_SET_OWNER, "VHOST_SET_OWNER", nullptr));
  return device;
}

absl::Status VhostDevice::Request(unsigned long request, const char* name,
                                  const void* argument) const {
  if (::ioctl(fd_.get(), request, argument) >= 0) return absl::OkStatus();
  return OsRefused(errno, absl::StrCat(name, " on ", path_));
}

absl::Status VhostDevice::Configure(uint64_t features,
                                    std::span<const VhostRegion> regions) {
  const uint64_t wanted = features & features_;
  KVMLET_RETURN_IF_ERROR(
      Request(VHOST_SET_FEATURES, "VHOST_SET_FEATURES", &wanted));
  // vhost_memory ends in a flexible array: built in a byte buffer.
  vhost_memory head{};
  head.nregions = static_cast<uint32_t>(regions.size());
  std::vector<std::byte> table(sizeof(head) +
                               regions.size() * sizeof(vhost_memory_region));
  std::memcpy(table.data(), &head, sizeof(head));
  size_t at = sizeof(head);
  for (const VhostRegion& region : regions) {
    const vhost_memory_region entry{region.guest, region.size,
                                    Address(region.host), 0};
    std::memcpy(table.data() + at, &entry, sizeof(entry));
    at += sizeof(entry);
  }
  return Request(VHOST_SET_MEM_TABLE, "VHOST_SET_MEM_TABLE", table.data());
}

absl::Status VhostDevice::SetRing(uint32_t index, const VhostRing& ring) {
  const vhost_vring_state size{index, ring.size};
  KVMLET_RETURN_IF_ERROR(
      Request(VHOST_SET_VRING_NUM, "VHOST_SET_VRING_NUM", &size));
  const vhost_vring_state base{index, 0};
  KVMLET_RETURN_IF_ERROR(
      Request(VHOST_SET_VRING_BASE, "VHOST_SET_VRING_BASE", &base));
  vhost_vring_addr address{};
  address.index = index;
  address.desc_user_addr = Address(ring.desc);
  address.avail_user_addr = Address(ring.avail);
  address.used_user_addr = Address(ring.used);
  KVMLET_RETURN_IF_ERROR(
      Request(VHOST_SET_VRING_ADDR, "VHOST_SET_VRING_ADDR", &address));
  const vhost_vring_file kick{index, ring.kick};
  KVMLET_RETURN_IF_ERROR(
      Request(VHOST_SET_VRING_KICK, "VHOST_SET_VRING_KICK", &kick));
  const vhost_vring_file call{index, ring.call};
  KVMLET_RETURN_IF_ERROR(
      Request(VHOST_SET_VRING_CALL, "VHOST_SET_VRING_CALL", &call));
  const vhost_vring_file error{index, ring.error};
  return Request(VHOST_SET_VRING_ERR, "VHOST_SET_VRING_ERR", &error);
}

void VhostDevice::ClearRing(uint32_t index) {
  const vhost_vring_file none{index, VHOST_FILE_UNBIND};
  // Unbinding a ring that was never set up fails and changes nothing.
  Request(VHOST_SET_VRING_KICK, "", &none).IgnoreError();
  Request(VHOST_SET_VRING_CALL, "", &none).IgnoreError();
  Request(VHOST_SET_VRING_ERR, "", &none).IgnoreError();
}

absl::Status VhostDevice::StartNet(uint32_t index, int tap) {
  const vhost_vring_file backend{index, tap};
  return Request(VHOST_NET_SET_BACKEND, "VHOST_NET_SET_BACKEND", &backend);
}

void VhostDevice::StopNet(uint32_t index) {
  const vhost_vring_file none{index, VHOST_FILE_UNBIND};
  // Waits for the kernel's worker. It cannot fail for a ring that exists.
  Request(VHOST_NET_SET_BACKEND, "", &none).IgnoreError();
}

absl::Status VhostDevice::SetGuestCid(uint64_t cid) {
  return Request(VHOST_VSOCK_SET_GUEST_CID, "VHOST_VSOCK_SET_GUEST_CID", &cid);
}

absl::Status VhostDevice::StartVsock() {
  const int running = 1;
  return Request(VHOST_VSOCK_SET_RUNNING, "VHOST_VSOCK_SET_RUNNING", &running);
}

void VhostDevice::StopVsock() {
  const int running = 0;
  Request(VHOST_VSOCK_SET_RUNNING, "", &running).IgnoreError();
}

}  // namespace kvmlet
