// SPDX-License-Identifier: Apache-2.0
// Socket device: the host's kernel (vhost-vsock) serves the receive and
// transmit queues, so that programs of the host and the guest talk over
// AF_VSOCK. The monitor keeps the event queue and has nothing to say on it.
//
// Threads: as VirtioDevice; the loop is borrowed and outlives the device.
// Errors: one line that starts with "--vsock"; a ring that the kernel refuses
// leads to NEEDS_RESET. Specification: Virtio 1.2, section 5.10.
#ifndef KVMLET_DEVICES_VIRTIO_VSOCK_H_
#define KVMLET_DEVICES_VIRTIO_VSOCK_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/backend/vhost.h"
#include "devices/virtio/device.h"
#include "devices/virtio/spec.h"
#include "vmm/base/event_fd.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

class VsockDevice final : public VirtioDevice {
 public:
  // Takes the context id, which nobody else on this host may have, until the
  // device dies. `loop` watches for rings that the kernel refuses.
  static absl::StatusOr<std::unique_ptr<VsockDevice>> Create(uint64_t cid,
                                                             EventLoop& loop);
  ~VsockDevice() override { Reset(); }

  std::string_view name() const override { return "virtio-vsock"; }
  uint16_t device_type() const override { return kDeviceVsock; }
  uint64_t device_features() const override;
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  uint32_t config_size() const override { return sizeof(cid_); }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  // The only field is read-only.
  void WriteConfig(uint32_t /*offset*/,
                   std::span<const std::byte> /*data*/) override {}
  absl::Status Activate(ActiveState state) override;
  void Reset() override;

 private:
  static constexpr std::array<uint16_t, 3> kQueueSizes{256, 256, 64};

  VsockDevice(uint64_t cid, EventLoop& loop, VhostDevice vhost, EventFd error)
      : cid_(cid),
        loop_(loop),
        vhost_(std::move(vhost)),
        error_(std::move(error)) {}
  absl::Status Start();

  const uint64_t cid_;
  EventLoop& loop_;
  VhostDevice vhost_;
  EventFd error_;  // signalled by the kernel
  ActiveState state_;
  bool watches_ = false;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_VSOCK_H_
