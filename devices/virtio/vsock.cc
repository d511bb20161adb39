// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/vsock.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/virtio/vhost_queue.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::virtio {
namespace {

constexpr char kNode[] = "/dev/vhost-vsock";
// Section 5.10.3 "Feature bits".
constexpr uint64_t kStream = 1ull << 0;
constexpr uint64_t kSeqpacket = 1ull << 1;
// The kernel serves the first two queues: receive and transmit.
constexpr uint32_t kKernelRings = 2;
// 0 to 2 and the largest have fixed meanings.
constexpr uint64_t kMinCid = 3;
constexpr uint64_t kMaxCid = 0xfffffffe;

absl::Status Explain(uint64_t cid, const absl::Status& status,
                     const char* remedy) {
  return absl::Status(status.code(), absl::StrCat("--vsock cid=", cid, ": ",
                                                  absl::string_view(remedy),
                                                  ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<VsockDevice>> VsockDevice::Create(
    uint64_t cid, EventLoop& loop) {
  if (cid < kMinCid || cid > kMaxCid) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--vsock cid=", cid, ": must be ", kMinCid, " to ", kMaxCid));
  }
  absl::StatusOr<VhostDevice> vhost = VhostDevice::Open(kNode);
  if (!vhost.ok()) {
    return Explain(cid, vhost.status(),
                   absl::IsNotFound(vhost.status())
                       ? "load the driver (modprobe vhost_vsock)"
                       : "the host does not let this user have it");
  }
  if ((vhost->features() & kVhostNeeds) != kVhostNeeds) {
    return absl::UnimplementedError(absl::StrCat(
        "--vsock cid=", cid, ": vhost-vsock of this kernel is too old"));
  }
  if (const absl::Status status = vhost->SetGuestCid(cid); !status.ok()) {
    return Explain(cid, status, "another virtual machine may use it");
  }
  KVMLET_ASSIGN_OR_RETURN(EventFd error, EventFd::Create());
  return std::unique_ptr<VsockDevice>(
      new VsockDevice(cid, loop, *std::move(vhost), std::move(error)));
}

uint64_t VsockDevice::device_features() const {
  return vhost_.features() & (kStream | kSeqpacket);
}

void VsockDevice::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  const auto bytes = std::as_bytes(std::span(&cid_, 1));
  std::fill(data.begin(), data.end(), std::byte{0});
  if (offset >= bytes.size()) return;
  const size_t length = std::min(data.size(), bytes.size() - offset);
  std::memcpy(data.data(), bytes.data() + offset, length);
}

absl::Status VsockDevice::Activate(ActiveState state) {
  CHECK_EQ(state.queues.size(), kQueueSizes.size());
  Reset();
  state_ = std::move(state);
  absl::Status status = Start();
  if (!status.ok()) Reset();
  return status;
}

absl::Status VsockDevice::Start() {
  for (uint32_t ring = 0; ring < kKernelRings; ++ring) {
    if (state_.queues[ring].queue) continue;
    return absl::FailedPreconditionError(
        "the driver left a queue of virtio-vsock disabled");
  }
  absl::Status status;
  loop_.RunSync([this, &status] {
    error_.Consume();
    status = loop_.Add(error_.get(), EPOLLIN, [this](uint32_t) {
      if (!error_.Consume()) return;
      state_.events->SetNeedsReset("vhost-vsock cannot use a ring or a buffer");
    });
    watches_ = status.ok();
  });
  KVMLET_RETURN_IF_ERROR(status);
  KVMLET_RETURN_IF_ERROR(
      vhost_.Configure(state_.features, VhostRegions(*state_.memory)));
  for (uint32_t ring = 0; ring < kKernelRings; ++ring) {
    KVMLET_RETURN_IF_ERROR(
        SetVhostRing(vhost_, ring, state_, state_.queues[ring], error_.get()));
  }
  return vhost_.StartVsock();
}

void VsockDevice::Reset() {
  vhost_.StopVsock();
  for (uint32_t ring = 0; ring < kKernelRings; ++ring) vhost_.ClearRing(ring);
  if (watches_) {
    loop_.RunSync([this] { loop_.Remove(error_.get()); });
    watches_ = false;
  }
  state_ = ActiveState();
}

}  // namespace kvmlet::virtio
