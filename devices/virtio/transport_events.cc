// SPDX-License-Identifier: Apache-2.0
// The transport's life between DRIVER_OK and reset: handing the queues over,
// doorbells, and the interrupts that the data path asks for.
#include <glog/logging.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/virtio/spec.h"
#include "devices/virtio/transport.h"
#include "vmm/base/status_macros.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::virtio {

// DRIVER_OK. A driver that set a queue up wrongly, or a host that cannot
// serve, is told with DEVICE_NEEDS_RESET.
void VirtioPciTransport::Start() {
  AttachDoorbells();
  const absl::Status status = Activate();
  active_ = status.ok();
  if (!active_) {
    DetachDoorbells();
    SetNeedsReset(std::string(status.message()));
  }
}

absl::Status VirtioPciTransport::Activate() {
  ActiveState state;
  state.memory = &memory_;
  state.events = this;
  state.features = common_.driver_features();
  for (uint16_t i = 0; i < kicks_.size(); ++i) {
    const QueueConfig& config = common_.queues()[i];
    ActiveQueue active{.index = i, .queue = {}, .kick = &kicks_[i]};
    if (config.enabled) {
      KVMLET_ASSIGN_OR_RETURN(
          active.queue, VirtQueue::Create(memory_, config, state.features));
    }
    state.queues.push_back(std::move(active));
  }
  return device_->Activate(std::move(state));
}

// Waits for the data path to stop; it may call DeviceEvents meanwhile, which
// takes none of the locks held here. The status reads 0 only after that.
void VirtioPciTransport::ResetDevice() {
  DetachDoorbells();
  active_ = false;
  device_->Reset();
  for (const EventFd& kick : kicks_) kick.Consume();
  for (const EventFd& call : calls_) call.Consume();
  common_.Reset();
  const std::lock_guard lock(isr_mutex_);
  isr_ = 0;
  SetIntx(false);
}

void VirtioPciTransport::AttachDoorbells() {
  if (!bar_address_ || slot().doorbells == nullptr) return;
  for (size_t i = 0; i < kicks_.size(); ++i) {
    if (!common_.queues()[i].enabled) continue;
    const uint64_t address =
        *bar_address_ + kNotifyOffset + i * kNotifyMultiplier;
    const absl::Status status =
        slot().doorbells->Attach(address, kicks_[i].get());
    if (!status.ok()) {
      // Kicks still arrive, by the slow path through Kick.
      log_.Warn(absl::StrCat("no doorbell: ", status.ToString()));
      continue;
    }
    doorbells_.push_back({address, kicks_[i].get()});
  }
}

void VirtioPciTransport::DetachDoorbells() {
  for (const Doorbell& doorbell : doorbells_) {
    const absl::Status status =
        slot().doorbells->Detach(doorbell.address, doorbell.event_fd);
    if (!status.ok()) log_.Warn(absl::StrCat("doorbell: ", status.ToString()));
  }
  doorbells_.clear();
}

void VirtioPciTransport::NotifyQueue(uint16_t queue) {
  if (queue >= kicks_.size()) return;
  Interrupt(common_.queue_vector(queue), kIsrQueue);
}

void VirtioPciTransport::NotifyConfig() {
  common_.BumpGeneration();
  Interrupt(common_.config_vector(), kIsrConfig);
}

void VirtioPciTransport::SetNeedsReset(std::string_view reason) {
  if (!common_.SetNeedsReset()) return;
  log_.Warn(absl::StrCat("needs reset: ", std::string(reason)));
  Interrupt(common_.config_vector(), kIsrConfig);
}

// Sections 4.1.5.3 and 4.1.5.4: a message when MSI-X is enabled, else an ISR
// bit and the pin; nothing before DRIVER_OK (section 3.1.1).
void VirtioPciTransport::Interrupt(uint16_t vector, uint8_t isr_bit) {
  if (MsixEnabled()) {
    if (common_.driver_ok()) msix()->Trigger(vector);
    return;
  }
  // Bit and pin change together: the driver's read may not fall between, and
  // a late forwarded call may not outlive a reset.
  const std::lock_guard lock(isr_mutex_);
  if (!common_.driver_ok()) return;
  isr_ |= isr_bit;
  SetIntx(true);
}

void VirtioPciTransport::ReadIsr(uint64_t offset, std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), std::byte{0});
  if (offset != 0) return;
  const std::lock_guard lock(isr_mutex_);
  data[0] = std::byte{std::exchange(isr_, uint8_t{0})};
  SetIntx(false);
}

int VirtioPciTransport::QueueCallFd(uint16_t queue) {
  CHECK_LT(queue, calls_.size());
  // Without a message to send, the loop turns it into what there is.
  const int vector =
      MsixEnabled() ? msix()->EventFdOf(common_.queue_vector(queue)) : -1;
  return vector >= 0 ? vector : calls_[queue].get();
}

}  // namespace kvmlet::virtio
