// SPDX-License-Identifier: Apache-2.0
// The common configuration of the PCI transport: feature negotiation, the
// device status machine and the set-up of the queues, as registers. It only
// keeps state; the transport acts on what a write asks for.
//
// Threads: Read, Write and Reset under the transport's lock; the members named
// below from any thread, without a lock. Any offset and width is safe.
// Specification: Virtio 1.2, sections 2.1, 2.2, 3.1 and 4.1.4.3.
#ifndef KVMLET_DEVICES_VIRTIO_COMMON_CONFIG_H_
#define KVMLET_DEVICES_VIRTIO_COMMON_CONFIG_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "devices/virtio/queue.h"
#include "devices/virtio/spec.h"
#include "vmm/base/log_limiter.h"

namespace kvmlet::virtio {

class CommonConfig {
 public:
  // What a write asks the transport to do.
  enum class Action { kNone, kReset, kStart };

  // `offered` is every feature bit; `vectors` the MSI-X table size;
  // `required` what a driver must accept beside VERSION_1.
  CommonConfig(uint64_t offered, std::span<const uint16_t> queue_sizes,
               uint16_t vectors, LogLimiter& log, uint64_t required = 0);

  void Read(uint64_t offset, std::span<std::byte> data) const;
  Action Write(uint64_t offset, std::span<const std::byte> data);
  // The state after a device reset; status then reads 0.
  void Reset();

  uint64_t driver_features() const { return driver_features_; }
  const std::vector<QueueConfig>& queues() const { return queues_; }

  // From any thread.
  bool driver_ok() const { return (status_.load() & kStatusDriverOk) != 0; }
  // True when the driver must be told: it was running and did not know yet.
  bool SetNeedsReset();
  void BumpGeneration() { ++generation_; }
  uint16_t queue_vector(uint16_t queue) const { return vectors_[queue].load(); }
  uint16_t config_vector() const { return vectors_.back().load(); }

 private:
  Action WriteStatus(uint8_t value);
  void WriteDriverFeatures(uint32_t value);
  void WriteQueue(uint64_t offset, size_t width, uint64_t value);
  void WriteAddress(Gpa& address, uint64_t part, size_t width, uint64_t value);
  uint16_t CheckVector(uint64_t value) const;

  const uint64_t offered_;
  const uint64_t required_;
  const std::vector<uint16_t> queue_sizes_;
  const uint16_t vector_count_;
  LogLimiter& log_;
  uint32_t device_feature_select_ = 0;
  uint32_t driver_feature_select_ = 0;
  uint16_t queue_select_ = 0;
  uint64_t driver_features_ = 0;
  std::vector<QueueConfig> queues_;
  std::atomic<uint8_t> status_{0};
  std::atomic<uint8_t> generation_{0};
  std::vector<std::atomic<uint16_t>> vectors_;  // a queue's each; last: config
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_COMMON_CONFIG_H_
