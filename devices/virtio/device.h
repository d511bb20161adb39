// SPDX-License-Identifier: Apache-2.0
// What a virtio device is to its transport: feature bits, configuration space
// and a data path that takes the queues over at DRIVER_OK and gives them back
// at reset. The device knows neither PCI nor KVM.
//
// Threads: every member is called by the transport, one call at a time (under
// the transport's lock), from vCPU threads or the main thread. The data path
// runs on the loops the device was given. ReadConfig and WriteConfig may run
// beside the data path; a device guards what both touch.
// Specification: Virtio 1.2, sections 2.1 to 2.6 and 3.
#ifndef KVMLET_DEVICES_VIRTIO_DEVICE_H_
#define KVMLET_DEVICES_VIRTIO_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "devices/virtio/queue.h"
#include "vmm/base/event_fd.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::virtio {

// How the data path tells the driver something. Outlives the device's data
// path; every member may be called from any thread and takes no lock that the
// transport holds while it calls the device.
class DeviceEvents {
 public:
  virtual ~DeviceEvents() = default;
  // "Used buffer notification" of a queue.
  virtual void NotifyQueue(uint16_t queue) = 0;
  // "Configuration change notification".
  virtual void NotifyConfig() = 0;
  // A field of the configuration space is about to change: called with the
  // lock held that ReadConfig takes, so that a driver that reads a wide field
  // in halves sees by the generation that it must read again.
  virtual void ConfigChanging() {}
  // The driver broke the protocol (or the host failed for good): sets
  // DEVICE_NEEDS_RESET and notifies. The device then stops using its queues.
  virtual void SetNeedsReset(std::string_view reason) = 0;
  // An eventfd that, when written by the kernel (vhost), notifies the queue.
  virtual int QueueCallFd(uint16_t queue) = 0;
};

// One queue as handed over at DRIVER_OK. Queues the driver left disabled have
// no VirtQueue. `kick` is signalled when the driver notifies the queue.
struct ActiveQueue {
  uint16_t index = 0;
  std::optional<VirtQueue> queue;
  const EventFd* kick = nullptr;  // owned by the transport, outlives Reset
};

struct ActiveState {
  const GuestMemory* memory = nullptr;
  DeviceEvents* events = nullptr;
  uint64_t features = 0;            // negotiated
  std::vector<ActiveQueue> queues;  // one per queue of the device, by index
};

class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  virtual std::string_view name() const = 0;  // "virtio-blk", for logs
  virtual uint16_t device_type() const = 0;   // Virtio 1.2 section 5
  // Device-specific feature bits; the transport adds VERSION_1,
  // INDIRECT_DESC and EVENT_IDX.
  virtual uint64_t device_features() const = 0;
  // Those of them without which the device does not work: the transport keeps
  // FEATURES_OK from a driver that leaves one out.
  virtual uint64_t required_features() const { return 0; }
  // Largest size of every queue, a power of two up to 32768.
  virtual std::span<const uint16_t> queue_sizes() const = 0;

  // Once, before the guest runs, for devices whose configuration changes also
  // while no driver is active. The events outlive the device's data path.
  virtual void Attach(DeviceEvents& /*events*/) {}

  // Device configuration space. The transport has cut the access to
  // config_size(); reads beyond it give zeroes.
  virtual uint32_t config_size() const = 0;
  virtual void ReadConfig(uint32_t offset, std::span<std::byte> data) = 0;
  virtual void WriteConfig(uint32_t offset,
                           std::span<const std::byte> data) = 0;

  // DRIVER_OK: the data path starts. An error sets NEEDS_RESET.
  virtual absl::Status Activate(ActiveState state) = 0;
  // Stops the data path. When it returns no thread, kernel request or vhost
  // worker touches guest memory or the queues any more. Also called when the
  // device was not active.
  virtual void Reset() = 0;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_DEVICE_H_
