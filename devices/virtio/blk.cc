// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk.h"

#include <glog/logging.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::virtio {
namespace {

// Deep enough for a fast disk, small enough to keep a ring on a few pages.
constexpr uint16_t kQueueSize = 128;
constexpr uint16_t kMaxQueues = 64;
// A request is a header, the data and the status byte.
constexpr uint32_t kMaxSegments = kQueueSize - 2;
constexpr uint32_t kMaxSegmentBytes = 4u << 20;

std::string Label(const DiskOptions& options) {
  return absl::StrCat("virtio-blk ",
                      options.id.empty() ? options.path : options.id);
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlkDevice>> BlkDevice::Create(
    const DiskOptions& options, std::unique_ptr<BlockBackend> backend,
    std::vector<EventLoop*> loops) {
  CHECK(backend != nullptr && !loops.empty());
  if (options.serial.size() > kBlkIdBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("--disk ", options.path, ",serial=", options.serial,
                     ": is longer than ", kBlkIdBytes, " bytes; shorten it"));
  }
  if (options.queues > kMaxQueues) {
    return absl::InvalidArgumentError(
        absl::StrCat("--disk ", options.path, ",queues=", options.queues,
                     ": give at most ", kMaxQueues));
  }
  return std::unique_ptr<BlkDevice>(
      new BlkDevice(options, std::move(backend), std::move(loops)));
}

BlkDevice::BlkDevice(const DiskOptions& options,
                     std::unique_ptr<BlockBackend> backend,
                     std::vector<EventLoop*> loops)
    : label_(Label(options)),
      log_(label_),
      backend_(std::move(backend)),
      loops_(std::move(loops)),
      queue_sizes_(std::max<uint16_t>(options.queues, 1), kQueueSize) {
  shared_.capacity = backend_->geometry().size / kBlkSectorBytes;
  shared_.alignment = backend_->geometry().alignment / kBlkSectorBytes;
  shared_.read_only = backend_->read_only();
  shared_.serial = options.serial;
  shared_.log = &log_;
}

BlkDevice::~BlkDevice() { Reset(); }

uint64_t BlkDevice::device_features() const {
  uint64_t features = kBlkFeatureSizeMax | kBlkFeatureSegMax |
                      kBlkFeatureBlockSize | kBlkFeatureFlush |
                      kBlkFeatureTopology | kBlkFeatureConfigWce;
  if (queue_sizes_.size() > 1) features |= kBlkFeatureMultiQueue;
  features |= shared_.read_only ? kBlkFeatureReadOnly
                                : kBlkFeatureDiscard | kBlkFeatureWriteZeroes;
  return features;
}

BlkConfig BlkDevice::Config() const {
  const BlockGeometry& geometry = backend_->geometry();
  const uint32_t block = geometry.logical_block;
  BlkConfig config;
  config.capacity = shared_.capacity.load();
  config.size_max = kMaxSegmentBytes;
  config.seg_max = kMaxSegments;
  config.block_size = block;
  config.physical_block_exponent = static_cast<uint8_t>(
      std::countr_zero(geometry.physical_block) - std::countr_zero(block));
  config.minimum_io_blocks = static_cast<uint16_t>(
      std::clamp<uint32_t>(geometry.minimum_io / block, 1, UINT16_MAX));
  config.optimal_io_blocks = geometry.optimal_io / block;
  config.writeback = shared_.writeback.load() ? 1 : 0;
  config.queue_count = static_cast<uint16_t>(queue_sizes_.size());
  if (!shared_.read_only) {
    config.max_discard_sectors = kBlkMaxRangeSectors;
    config.max_discard_segments = kBlkMaxRanges;
    config.discard_alignment = geometry.physical_block / kBlkSectorBytes;
    config.max_write_zeroes_sectors = kBlkMaxRangeSectors;
    config.max_write_zeroes_segments = kBlkMaxRanges;
    config.write_zeroes_may_unmap = 1;
  }
  return config;
}

void BlkDevice::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  const BlkConfig config = Config();
  const auto bytes = std::as_bytes(std::span(&config, 1));
  std::fill(data.begin(), data.end(), std::byte{0});
  if (offset >= bytes.size()) return;
  std::copy_n(bytes.begin() + offset,
              std::min(data.size(), bytes.size() - offset), data.begin());
}

// Only "writeback" can be written (section 5.2.4).
void BlkDevice::WriteConfig(uint32_t offset, std::span<const std::byte> data) {
  constexpr uint32_t kField = offsetof(BlkConfig, writeback);
  if (offset > kField || kField - offset >= data.size()) return;
  shared_.writeback = (data[kField - offset] & std::byte{1}) != std::byte{0};
}

absl::Status BlkDevice::Activate(ActiveState state) {
  CHECK(queues_.empty()) << "activated twice without a reset";
  shared_.features = state.features;
  // Section 5.2.5.2: without FLUSH there is no write-back mode to be in.
  if ((state.features & kBlkFeatureFlush) == 0) shared_.writeback = false;
  queues_.resize(state.queues.size());
  for (ActiveQueue& queue : state.queues) {
    if (!queue.queue) continue;
    absl::Status status = StartQueue(std::move(queue), *state.events);
    if (!status.ok()) {
      Reset();
      return status;
    }
  }
  const std::lock_guard lock(mutex_);
  events_ = state.events;
  return absl::OkStatus();
}

absl::Status BlkDevice::StartQueue(ActiveQueue queue, DeviceEvents& events) {
  const size_t index = queue.index;
  EventLoop& loop = LoopOf(index);
  absl::Status status;
  loop.RunSync([&] {
    status = [&]() -> absl::Status {
      KVMLET_ASSIGN_OR_RETURN(auto disk,
                              backend_->NewQueue(queue.queue->size()));
      KVMLET_ASSIGN_OR_RETURN(
          queues_[index], BlkQueue::Create(std::move(queue), std::move(disk),
                                           shared_, events, loop));
      return absl::OkStatus();
    }();
  });
  return status;
}

void BlkDevice::Reset() {
  {
    const std::lock_guard lock(mutex_);
    events_ = nullptr;
  }
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (queues_[i] == nullptr) continue;
    LoopOf(i).RunSync([this, i] { queues_[i].reset(); });
  }
  queues_.clear();
  shared_.writeback = true;
}

absl::Status BlkDevice::Resize() {
  KVMLET_ASSIGN_OR_RETURN(const uint64_t size, backend_->ReadSize());
  const uint64_t capacity = size / kBlkSectorBytes;
  if (shared_.capacity.exchange(capacity) == capacity) return absl::OkStatus();
  LOG(INFO) << label_ << ": now has " << size << " bytes";
  const std::lock_guard lock(mutex_);
  if (events_ != nullptr) events_->NotifyConfig();
  return absl::OkStatus();
}

}  // namespace kvmlet::virtio
