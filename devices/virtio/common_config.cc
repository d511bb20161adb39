// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/common_config.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_format.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::virtio {
namespace {

constexpr uint8_t kDriverBits = kStatusAcknowledge | kStatusDriver |
                                kStatusDriverOk | kStatusFeaturesOk |
                                kStatusFailed;

// Register offsets come from the wire structure.
constexpr uint64_t kDeviceFeatureSelect =
    offsetof(PciCommonConfig, device_feature_select);
constexpr uint64_t kDriverFeatureSelect =
    offsetof(PciCommonConfig, driver_feature_select);
constexpr uint64_t kDriverFeature = offsetof(PciCommonConfig, driver_feature);
constexpr uint64_t kConfigVector =
    offsetof(PciCommonConfig, config_msix_vector);
constexpr uint64_t kDeviceStatus = offsetof(PciCommonConfig, device_status);
constexpr uint64_t kQueueSelect = offsetof(PciCommonConfig, queue_select);
constexpr uint64_t kQueueSize = offsetof(PciCommonConfig, queue_size);
constexpr uint64_t kQueueVector = offsetof(PciCommonConfig, queue_msix_vector);
constexpr uint64_t kQueueEnable = offsetof(PciCommonConfig, queue_enable);
constexpr uint64_t kQueueDesc = offsetof(PciCommonConfig, queue_desc);
constexpr uint64_t kQueueDriver = offsetof(PciCommonConfig, queue_driver);
constexpr uint64_t kQueueDevice = offsetof(PciCommonConfig, queue_device);

uint32_t Half(uint64_t features, uint32_t select) {
  if (select > 1) return 0;
  return static_cast<uint32_t>(features >> (32 * select));
}

}  // namespace

CommonConfig::CommonConfig(uint64_t offered,
                           std::span<const uint16_t> queue_sizes,
                           uint16_t vectors, LogLimiter& log, uint64_t required)
    : offered_(offered),
      required_(required | kFeatureVersion1),
      queue_sizes_(queue_sizes.begin(), queue_sizes.end()),
      vector_count_(vectors),
      log_(log),
      queues_(queue_sizes.size()),
      vectors_(queue_sizes.size() + 1) {
  Reset();
}

void CommonConfig::Reset() {
  device_feature_select_ = 0;
  driver_feature_select_ = 0;
  queue_select_ = 0;
  driver_features_ = 0;
  for (size_t i = 0; i < queues_.size(); ++i) {
    queues_[i] = QueueConfig{};
    queues_[i].size = queue_sizes_[i];
  }
  for (std::atomic<uint16_t>& vector : vectors_) vector = kNoVector;
  status_ = 0;
}

void CommonConfig::Read(uint64_t offset, std::span<std::byte> data) const {
  PciCommonConfig registers{};
  registers.device_feature_select = device_feature_select_;
  registers.device_feature = Half(offered_, device_feature_select_);
  registers.driver_feature_select = driver_feature_select_;
  registers.driver_feature = Half(driver_features_, driver_feature_select_);
  registers.config_msix_vector = config_vector();
  registers.num_queues = static_cast<uint16_t>(queues_.size());
  registers.device_status = status_;
  registers.config_generation = generation_;
  registers.queue_select = queue_select_;
  registers.queue_msix_vector = kNoVector;
  // A queue that does not exist has size 0 (section 4.1.4.3.1).
  if (queue_select_ < queues_.size()) {
    const QueueConfig& queue = queues_[queue_select_];
    registers.queue_size = queue.size;
    registers.queue_msix_vector = queue_vector(queue_select_);
    registers.queue_enable = queue.enabled ? 1 : 0;
    registers.queue_notify_off = queue_select_;
    registers.queue_desc = queue.desc.value;
    registers.queue_driver = queue.driver.value;
    registers.queue_device = queue.device.value;
  }
  std::fill(data.begin(), data.end(), std::byte{0});
  if (offset >= sizeof(registers)) return;
  const auto bytes = std::as_bytes(std::span(&registers, 1)).subspan(offset);
  std::memcpy(data.data(), bytes.data(), std::min(data.size(), bytes.size()));
}

// Fields are written whole, as section 4.1.3.1 demands, 64-bit ones also in
// two halves; every other write is ignored.
CommonConfig::Action CommonConfig::Write(uint64_t offset,
                                         std::span<const std::byte> data) {
  const uint64_t value = LoadLe(data);
  const size_t width = data.size();
  if (offset == kDeviceFeatureSelect && width == 4) {
    device_feature_select_ = static_cast<uint32_t>(value);
  } else if (offset == kDriverFeatureSelect && width == 4) {
    driver_feature_select_ = static_cast<uint32_t>(value);
  } else if (offset == kDriverFeature && width == 4) {
    WriteDriverFeatures(static_cast<uint32_t>(value));
  } else if (offset == kConfigVector && width == 2) {
    vectors_.back() = CheckVector(value);
  } else if (offset == kDeviceStatus && width == 1) {
    return WriteStatus(static_cast<uint8_t>(value));
  } else if (offset == kQueueSelect && width == 2) {
    queue_select_ = static_cast<uint16_t>(value);
  } else if (offset >= kQueueSize) {
    WriteQueue(offset, width, value);
  }
  return Action::kNone;
}

void CommonConfig::WriteDriverFeatures(uint32_t value) {
  if ((status_ & kStatusFeaturesOk) != 0) {
    log_.Warn("driver changed features after FEATURES_OK: ignored");
    return;
  }
  if (driver_feature_select_ > 1) return;
  const uint32_t shift = 32 * driver_feature_select_;
  driver_features_ &= ~(uint64_t{0xffffffff} << shift);
  driver_features_ |= uint64_t{value} << shift;
}

// Section 4.1.5.1.2: a vector that cannot be had reads back as NO_VECTOR.
uint16_t CommonConfig::CheckVector(uint64_t value) const {
  return value < vector_count_ ? static_cast<uint16_t>(value) : kNoVector;
}

CommonConfig::Action CommonConfig::WriteStatus(uint8_t value) {
  if (value == 0) return Action::kReset;
  const uint8_t before = status_;
  // Only a reset clears bits (section 2.1.1).
  unsigned added = value & kDriverBits & ~unsigned{before};
  if ((added & kStatusFeaturesOk) != 0 &&
      ((driver_features_ & ~offered_) != 0 ||
       (required_ & ~driver_features_) != 0)) {
    log_.Warn(absl::StrFormat("features 0x%x refused", driver_features_));
    added &= ~unsigned{kStatusFeaturesOk};
  }
  const bool negotiated = ((before | added) & kStatusFeaturesOk) != 0;
  if ((added & kStatusDriverOk) != 0 && !negotiated) {
    log_.Warn("DRIVER_OK without FEATURES_OK: ignored");
    added &= ~unsigned{kStatusDriverOk};
  }
  status_.fetch_or(static_cast<uint8_t>(added));
  return (added & kStatusDriverOk) != 0 ? Action::kStart : Action::kNone;
}

void CommonConfig::WriteQueue(uint64_t offset, size_t width, uint64_t value) {
  if (queue_select_ >= queues_.size()) return;
  if (offset == kQueueVector && width == 2) {
    vectors_[queue_select_] = CheckVector(value);
    return;
  }
  if (driver_ok()) {
    log_.Warn("driver rewrote a queue after DRIVER_OK: ignored");
    return;
  }
  QueueConfig& queue = queues_[queue_select_];
  if (offset == kQueueSize && width == 2) {
    const auto size = static_cast<uint16_t>(value);
    if (std::has_single_bit(size) && size <= queue_sizes_[queue_select_]) {
      queue.size = size;
    } else {
      log_.Warn(absl::StrFormat("queue size %u refused", size));
    }
  } else if (offset == kQueueEnable && width == 2) {
    // Writing 0 has no meaning without queue reset.
    if (value == 1) queue.enabled = true;
  } else if (offset >= kQueueDesc && offset < kQueueDriver) {
    WriteAddress(queue.desc, offset - kQueueDesc, width, value);
  } else if (offset >= kQueueDriver && offset < kQueueDevice) {
    WriteAddress(queue.driver, offset - kQueueDriver, width, value);
  } else if (offset >= kQueueDevice && offset < sizeof(PciCommonConfig)) {
    WriteAddress(queue.device, offset - kQueueDevice, width, value);
  }
}

void CommonConfig::WriteAddress(Gpa& address, uint64_t part, size_t width,
                                uint64_t value) {
  constexpr uint64_t kLow = 0xffffffff;
  if (part == 0 && width == 8) {
    address.value = value;
  } else if (part == 0 && width == 4) {
    address.value = (address.value & ~kLow) | value;
  } else if (part == 4 && width == 4) {
    address.value = (address.value & kLow) | value << 32;
  }
}

bool CommonConfig::SetNeedsReset() {
  const uint8_t before = status_.fetch_or(kStatusNeedsReset);
  return (before & kStatusDriverOk) != 0 && (before & kStatusNeedsReset) == 0;
}

}  // namespace kvmlet::virtio
