// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/transport.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/pci/spec.h"
#include "devices/virtio/spec.h"
#include "vmm/base/status_macros.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::virtio {
namespace {

// Offsets into the PCI_CFG capability, section 4.1.4.9.
constexpr uint16_t kWindowBar = 4;
constexpr uint16_t kWindowOffset = 8;
constexpr uint16_t kWindowLength = 12;
constexpr uint16_t kWindowData = 16;

uint32_t ClassOf(uint16_t device_type) {
  switch (device_type) {
    case kDeviceNet:
      return pci::kClassEthernet;
    case kDeviceBlock:
      return pci::kClassScsi;
    case kDeviceConsole:
      return pci::kClassCommunicationOther;
    case kDeviceVsock:
      return pci::kClassNetworkOther;
    default:
      return pci::kClassOther;
  }
}

pci::ConfigHeader HeaderOf(const VirtioDevice& device) {
  const auto id = static_cast<uint16_t>(kPciDeviceBase + device.device_type());
  // Section 4.1.2.1: revision 1 or higher, subsystem id 0x40 or higher.
  return {.vendor_id = kPciVendor,
          .device_id = id,
          .revision = 1,
          .class_code = ClassOf(device.device_type()),
          .subsystem_vendor_id = kPciVendor,
          .subsystem_id = id,
          .interrupt_pin = 1};
}

uint16_t VectorsFor(const VirtioDevice& device) {
  return static_cast<uint16_t>(device.queue_sizes().size() + 1);
}

bool Overlaps(uint16_t offset, size_t size, uint16_t start, size_t length) {
  return offset < start + length && start < offset + size;
}

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioPciTransport>> VirtioPciTransport::Create(
    std::unique_ptr<VirtioDevice> device, const GuestMemory& memory,
    EventLoop& loop) {
  if (device->queue_sizes().size() > kMaxQueues) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(device->name()), ": at most ", kMaxQueues,
                     " queues, not ", device->queue_sizes().size()));
  }
  std::unique_ptr<VirtioPciTransport> transport(
      new VirtioPciTransport(std::move(device), memory, loop));
  KVMLET_RETURN_IF_ERROR(transport->CreateEvents());
  return transport;
}

VirtioPciTransport::VirtioPciTransport(std::unique_ptr<VirtioDevice> device,
                                       const GuestMemory& memory,
                                       EventLoop& loop)
    : PciFunction(HeaderOf(*device)),
      device_(std::move(device)),
      memory_(memory),
      loop_(loop),
      log_(device_->name()),
      offered_(device_->device_features() | kFeatureVersion1 |
               kFeatureIndirectDesc | kFeatureEventIdx),
      common_(offered_, device_->queue_sizes(), VectorsFor(*device_), log_,
              device_->required_features()) {
  AddBar({.index = kBar,
          .size = kBarSize,
          .is_64bit = true,
          .prefetchable = true});
  AddCapabilities();
  device_->Attach(*this);
}

VirtioPciTransport::~VirtioPciTransport() {
  {
    const std::lock_guard lock(mutex_);
    ResetDevice();
  }
  loop_.RunSync([this] {
    for (const EventFd& call : calls_) loop_.Remove(call.get());
  });
}

absl::Status VirtioPciTransport::CreateEvents() {
  const size_t queues = device_->queue_sizes().size();
  for (size_t i = 0; i < queues; ++i) {
    KVMLET_ASSIGN_OR_RETURN(EventFd kick, EventFd::Create());
    KVMLET_ASSIGN_OR_RETURN(EventFd call, EventFd::Create());
    kicks_.push_back(std::move(kick));
    calls_.push_back(std::move(call));
  }
  absl::Status status;
  loop_.RunSync([this, &status] {
    for (uint16_t i = 0; i < calls_.size(); ++i) {
      status.Update(loop_.Add(calls_[i].get(), EPOLLIN, [this, i](uint32_t) {
        if (calls_[i].Consume()) NotifyQueue(i);
      }));
    }
  });
  return status;
}

void VirtioPciTransport::AddCapabilities() {
  const auto add = [this](uint8_t type, uint32_t offset, uint32_t size,
                          uint32_t extra, bool with_extra) {
    // The id and next pointer come first, on the wire.
    constexpr size_t kHeader = 2;
    const size_t length = sizeof(PciCapBody) - (with_extra ? 0 : 4);
    PciCapBody body{};
    body.length = static_cast<uint8_t>(kHeader + length);
    body.type = type;
    body.bar = kBar;
    StoreLe(offset, std::as_writable_bytes(std::span(body.offset)));
    StoreLe(size, std::as_writable_bytes(std::span(body.size)));
    StoreLe(extra, std::as_writable_bytes(std::span(body.extra)));
    const auto bytes = std::as_bytes(std::span(&body, 1)).first(length);
    return config().AddCapability(pci::kCapabilityVendor, bytes);
  };
  add(kPciCapCommon, kCommonOffset, sizeof(PciCommonConfig), 0, false);
  add(kPciCapIsr, kIsrOffset, 1, 0, false);
  const auto queues = static_cast<uint32_t>(device_->queue_sizes().size());
  add(kPciCapNotify, kNotifyOffset, queues * kNotifyMultiplier,
      kNotifyMultiplier, true);
  if (device_->config_size() > 0) {
    add(kPciCapDevice, kDeviceOffset, device_->config_size(), 0, false);
  }
  window_capability_ = add(kPciCapAccess, 0, 0, 0, true);
  const auto writable = [this](uint16_t at, uint32_t mask) {
    config().SetWritable(static_cast<uint16_t>(window_capability_ + at), mask);
  };
  config().SetWritable<uint8_t>(
      static_cast<uint16_t>(window_capability_ + kWindowBar), 0xff);
  writable(kWindowOffset, 0xffffffff);
  writable(kWindowLength, 0xffffffff);
  writable(kWindowData, 0xffffffff);
}

absl::Status VirtioPciTransport::Attach(pci::PciSlot slot) {
  KVMLET_RETURN_IF_ERROR(PciFunction::Attach(std::move(slot)));
  return AddMsix(VectorsFor(*device_), kBar, kMsixTableOffset, kMsixPbaOffset);
}

// Section 4.1.4.9: a way to the BAR without memory decoding. Length 1, 2 or 4
// and an offset that is a multiple of it; anything else does nothing.
std::optional<VirtioPciTransport::Window> VirtioPciTransport::WindowAccess() {
  const auto field = [this](uint16_t at) {
    return config().Get<uint32_t>(
        static_cast<uint16_t>(window_capability_ + at));
  };
  const uint32_t bar = field(kWindowBar) & 0xff;
  const Window window{field(kWindowOffset), field(kWindowLength)};
  const bool width =
      window.length == 1 || window.length == 2 || window.length == 4;
  if (bar != kBar || !width || window.offset % window.length != 0) return {};
  if (window.offset > kBarSize - window.length) return {};
  return window;
}

void VirtioPciTransport::ReadConfig(uint16_t offset,
                                    std::span<std::byte> data) {
  const auto at = static_cast<uint16_t>(window_capability_ + kWindowData);
  if (Overlaps(offset, data.size(), at, 4)) {
    if (const auto window = WindowAccess()) {
      uint32_t value = 0;
      const auto bytes = std::as_writable_bytes(std::span(&value, 1));
      ReadBar(kBar, window->offset, bytes.first(window->length));
      config().Set(at, value);
    }
  }
  PciFunction::ReadConfig(offset, data);
}

void VirtioPciTransport::WriteConfig(uint16_t offset,
                                     std::span<const std::byte> data) {
  PciFunction::WriteConfig(offset, data);
  const auto at = static_cast<uint16_t>(window_capability_ + kWindowData);
  if (!Overlaps(offset, data.size(), at, 4)) return;
  if (const auto window = WindowAccess()) {
    const auto value = config().Get<uint32_t>(at);
    const auto bytes = std::as_bytes(std::span(&value, 1));
    WriteBar(kBar, window->offset, bytes.first(window->length));
  }
}

void VirtioPciTransport::ReadRegister(uint8_t, uint64_t offset,
                                      std::span<std::byte> data) {
  const uint64_t within = offset % kRegionSize;
  switch (offset - within) {
    case kCommonOffset: {
      const std::lock_guard lock(mutex_);
      common_.Read(within, data);
      return;
    }
    case kIsrOffset:
      ReadIsr(within, data);
      return;
    case kDeviceOffset:
      ReadDeviceConfig(within, data);
      return;
    default:
      std::fill(data.begin(), data.end(), std::byte{0});
      return;
  }
}

void VirtioPciTransport::WriteRegister(uint8_t, uint64_t offset,
                                       std::span<const std::byte> data) {
  const uint64_t within = offset % kRegionSize;
  switch (offset - within) {
    case kCommonOffset: {
      const std::lock_guard lock(mutex_);
      const CommonConfig::Action action = common_.Write(within, data);
      if (action == CommonConfig::Action::kReset) ResetDevice();
      if (action == CommonConfig::Action::kStart) Start();
      return;
    }
    case kDeviceOffset:
      WriteDeviceConfig(within, data);
      return;
    case kNotifyOffset:
      Kick(within);
      return;
    default:
      return;
  }
}

void VirtioPciTransport::ReadDeviceConfig(uint64_t offset,
                                          std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), std::byte{0});
  const uint32_t size = device_->config_size();
  if (offset >= size) return;
  const size_t length = std::min<uint64_t>(data.size(), size - offset);
  const std::lock_guard lock(mutex_);
  device_->ReadConfig(static_cast<uint32_t>(offset), data.first(length));
}

void VirtioPciTransport::WriteDeviceConfig(uint64_t offset,
                                           std::span<const std::byte> data) {
  const uint32_t size = device_->config_size();
  if (offset >= size) return;
  const size_t length = std::min<uint64_t>(data.size(), size - offset);
  const std::lock_guard lock(mutex_);
  device_->WriteConfig(static_cast<uint32_t>(offset), data.first(length));
}

// A notification that no doorbell caught: its value is the queue again.
void VirtioPciTransport::Kick(uint64_t offset) {
  const uint64_t queue = offset / kNotifyMultiplier;
  if (queue < kicks_.size() && common_.driver_ok()) kicks_[queue].Signal();
}

void VirtioPciTransport::OnBarMapped(uint8_t, uint64_t address) {
  const std::lock_guard lock(mutex_);
  bar_address_ = address;
  if (active_) AttachDoorbells();
}

void VirtioPciTransport::OnBarUnmapped(uint8_t) {
  const std::lock_guard lock(mutex_);
  DetachDoorbells();
  bar_address_.reset();
}

void VirtioPciTransport::Reset() {
  {
    const std::lock_guard lock(mutex_);
    ResetDevice();
  }
  PciFunction::Reset();
}

}  // namespace kvmlet::virtio
