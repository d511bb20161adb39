// SPDX-License-Identifier: Apache-2.0
// The virtio PCI transport (modern only): a PCI function that owns one
// VirtioDevice, negotiates with the driver, hands the queues over at DRIVER_OK
// and carries kicks and interrupts. All structures and MSI-X lie in BAR 0.
//
// Threads: registers by several vCPUs at once, under one lock, which is also
// held while the device is activated and reset. Kicks that leave the guest and
// everything the data path calls (DeviceEvents) never take that lock, so a
// reset may wait for an I/O thread. Lock order: root bus, then transport.
// Specification: Virtio 1.2, section 4.1.
#ifndef KVMLET_DEVICES_VIRTIO_TRANSPORT_H_
#define KVMLET_DEVICES_VIRTIO_TRANSPORT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/pci/pci_function.h"
#include "devices/virtio/common_config.h"
#include "devices/virtio/device.h"
#include "vmm/base/event_fd.h"
#include "vmm/base/log_limiter.h"
#include "vmm/event/event_loop.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::virtio {

class VirtioPciTransport final : public pci::PciFunction, private DeviceEvents {
 public:
  // BAR 0: one page for each structure, then MSI-X. A queue's doorbell lies at
  // kNotifyOffset + queue * kNotifyMultiplier.
  static constexpr uint8_t kBar = 0;
  static constexpr uint32_t kBarSize = 0x8000;
  static constexpr uint32_t kCommonOffset = 0x0000;
  static constexpr uint32_t kIsrOffset = 0x1000;
  static constexpr uint32_t kDeviceOffset = 0x2000;
  static constexpr uint32_t kNotifyOffset = 0x3000;
  static constexpr uint32_t kMsixTableOffset = 0x4000;
  static constexpr uint32_t kMsixPbaOffset = 0x7000;
  static constexpr uint32_t kRegionSize = 0x1000;
  static constexpr uint32_t kNotifyMultiplier = 4;
  // What fits the MSI-X table, with one vector for configuration changes.
  static constexpr size_t kMaxQueues = 512;

  // `memory` and `loop` outlive it. Any loop does: it forwards interrupts of
  // kernel workers (vhost) to drivers without MSI-X.
  static absl::StatusOr<std::unique_ptr<VirtioPciTransport>> Create(
      std::unique_ptr<VirtioDevice> device, const GuestMemory& memory,
      EventLoop& loop);
  ~VirtioPciTransport() override;

  VirtioDevice& device() { return *device_; }

  std::string_view name() const override { return device_->name(); }
  absl::Status Attach(pci::PciSlot slot) override;
  void ReadConfig(uint16_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint16_t offset, std::span<const std::byte> data) override;
  void OnBarMapped(uint8_t index, uint64_t address) override;
  void OnBarUnmapped(uint8_t index) override;
  // Machine reset: device reset, then the function's registers.
  void Reset() override;

 private:
  VirtioPciTransport(std::unique_ptr<VirtioDevice> device,
                     const GuestMemory& memory, EventLoop& loop);
  absl::Status CreateEvents();
  void AddCapabilities();

  void ReadRegister(uint8_t bar, uint64_t offset,
                    std::span<std::byte> data) override;
  void WriteRegister(uint8_t bar, uint64_t offset,
                     std::span<const std::byte> data) override;
  void ReadIsr(uint64_t offset, std::span<std::byte> data);
  void ReadDeviceConfig(uint64_t offset, std::span<std::byte> data);
  void WriteDeviceConfig(uint64_t offset, std::span<const std::byte> data);
  void Kick(uint64_t offset);
  // The access that the PCI_CFG capability asks for, when it is a sound one.
  struct Window {
    uint32_t offset;
    uint32_t length;
  };
  std::optional<Window> WindowAccess();

  // With mutex_ held.
  void Start();
  absl::Status Activate();
  void ResetDevice();
  void AttachDoorbells();
  void DetachDoorbells();

  // DeviceEvents.
  void NotifyQueue(uint16_t queue) override;
  void NotifyConfig() override;
  void ConfigChanging() override { common_.BumpGeneration(); }
  void SetNeedsReset(std::string_view reason) override;
  int QueueCallFd(uint16_t queue) override;
  void Interrupt(uint16_t vector, uint8_t isr_bit);

  const std::unique_ptr<VirtioDevice> device_;
  const GuestMemory& memory_;
  EventLoop& loop_;
  LogLimiter log_;
  const uint64_t offered_;
  std::vector<EventFd> kicks_;  // one a queue; fixed after Create
  std::vector<EventFd> calls_;  // likewise; watched by loop_
  uint16_t window_capability_ = 0;

  std::mutex mutex_;
  CommonConfig common_;  // guarded by mutex_, see there
  bool active_ = false;  // between Activate and Reset; guarded by mutex_
  std::optional<uint64_t> bar_address_;  // guarded by mutex_
  struct Doorbell {
    uint64_t address;
    int event_fd;
  };
  std::vector<Doorbell> doorbells_;  // attached ones; guarded by mutex_

  std::mutex isr_mutex_;  // a leaf: also taken by I/O threads
  uint8_t isr_ = 0;       // guarded by isr_mutex_
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_TRANSPORT_H_
