// SPDX-License-Identifier: Apache-2.0
// Connects a device's interrupts with the guest's: one of INTx, MSI and MSI-X
// at a time, as the kernel wants it. The device signals an eventfd in the
// kernel, which interrupts the guest in the kernel: nothing of it runs here.
//
// Threads: thread-safe; a leaf lock. Specification: Linux,
// include/uapi/linux/vfio.h, VFIO_DEVICE_SET_IRQS.
#ifndef KVMLET_DEVICES_VFIO_INTERRUPTS_H_
#define KVMLET_DEVICES_VFIO_INTERRUPTS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "devices/vfio/host_device.h"
#include "vmm/base/event_fd.h"
#include "vmm/base/log_limiter.h"
#include "vmm/bus/interrupts.h"

namespace kvmlet::vfio {

class Interrupts {
 public:
  // The eventfd of a vector of the guest's, or -1.
  using EventFdOf = std::function<int(uint32_t vector)>;

  explicit Interrupts(HostDevice& device)
      : device_(device), log_(device.name()) {}
  ~Interrupts() { Disable(); }

  // The guest's pin, for when no messages are enabled.
  absl::Status ConnectIntx(InterruptRouter& router, uint32_t pin);

  // MSI-X or MSI is on, with these vectors at most; or the pin is.
  void UseMessages(IrqIndex index, uint32_t vectors, const EventFdOf& of);
  void UseIntx();
  // After vectors got eventfds: connects those from `first` on that are new.
  void Update(uint32_t first, uint32_t count, const EventFdOf& of);
  // Off altogether, for a reset and the end.
  void Disable();

  // How many vectors the device signals now; for tests.
  size_t armed() const;

 private:
  void DisableLocked();
  bool EnableLocked(IrqIndex index, uint32_t vectors);
  void UpdateLocked(uint32_t first, uint32_t count, const EventFdOf& of);

  HostDevice& device_;
  LogLimiter log_;
  mutable std::mutex mutex_;
  std::optional<IrqIndex> active_;  // guarded by mutex_
  std::vector<int> armed_;          // guarded by mutex_: -1 or an eventfd
  std::optional<EventFd> trigger_;
  std::optional<EventFd> acknowledged_;
  std::unique_ptr<LevelIrqfd> level_;
};

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_INTERRUPTS_H_
