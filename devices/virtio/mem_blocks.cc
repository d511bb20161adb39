// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/mem_blocks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace kvmlet::virtio {

MemBlocks::MemBlocks(DeviceMemory& memory, const Options& options,
                     std::function<void()> changing)
    : memory_(memory),
      memory_block_(std::max(options.memory_block, memory.block_size())),
      changing_(std::move(changing)) {
  config_.block_size = memory.block_size();
  config_.node_id = options.node.value_or(0);
  config_.addr = memory.base().value;
  config_.region_size = memory.size();
  config_.usable_region_size = UsableFor(options.requested);
  config_.requested_size = options.requested;
}

MemConfig MemBlocks::config() const {
  const std::lock_guard lock(mutex_);
  return config_;
}

// All of it up to a whole memory block, and two more: the guest may have an
// alignment of its own within the region.
uint64_t MemBlocks::UsableFor(uint64_t requested) const {
  if (requested == 0) return 0;
  const uint64_t size = memory_.size();
  const uint64_t blocks = (requested - 1) / memory_block_ + 1 + 2;
  return blocks > size / memory_block_ ? size : blocks * memory_block_;
}

absl::Status MemBlocks::Resize(uint64_t requested) {
  if (requested % memory_.block_size() != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "requested-size ", requested, " is not a multiple of the block size ",
        memory_.block_size(), "; ",
        requested / memory_.block_size() * memory_.block_size(), " is one"));
  }
  if (requested > memory_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("requested-size ", requested, " is above the maximum ",
                     memory_.size(), ", which --virtio-mem max= sets"));
  }
  const std::lock_guard lock(mutex_);
  changing_();
  // It never shrinks here: the driver may be using the end (section 5.15.5.2).
  config_.usable_region_size =
      std::max(config_.usable_region_size, UsableFor(requested));
  config_.requested_size = requested;
  return absl::OkStatus();
}

// The order of the checks: is the request sound, do the blocks have the right
// state, does the host want it, can the host do it. ERROR makes Linux give the
// device up for good, so it is kept for what is wrong at any time.
MemBlocks::Answer MemBlocks::Handle(const MemRequest& request) {
  const auto type = static_cast<MemRequestType>(request.type);
  if (type == MemRequestType::kUnplugAll) {
    UnplugAll();
    return {.type = MemResponseType::kAck};
  }
  if (request.type >= kMemRequestTypes) return {};
  const std::optional<BlockRun> blocks = Blocks(request);
  if (!blocks) return {};
  switch (type) {
    case MemRequestType::kPlug:
      return Plug(*blocks);
    case MemRequestType::kUnplug:
      return Unplug(*blocks);
    default:
      return State(*blocks);
  }
}

// The blocks that a request names, when all of them are usable.
std::optional<BlockRun> MemBlocks::Blocks(const MemRequest& request) const {
  const uint64_t block = memory_.block_size();
  const uint64_t usable = config().usable_region_size / block;
  // Wraps below the region, to more than any region has.
  const uint64_t offset = request.addr - memory_.base().value;
  const uint64_t first = offset / block;
  if (offset % block != 0 || request.nb_blocks == 0) return {};
  if (first >= usable || request.nb_blocks > usable - first) return {};
  return BlockRun{first, request.nb_blocks};
}

MemBlocks::Answer MemBlocks::Plug(const BlockRun& blocks) {
  if (memory_.StateOf(blocks.first, blocks.count) !=
      DeviceMemory::BlockState::kUnplugged) {
    return {};
  }
  const MemConfig config = this->config();
  const uint64_t size = blocks.count * config.block_size;
  if (config.plugged_size > config.requested_size ||
      size > config.requested_size - config.plugged_size) {
    return {.type = MemResponseType::kNack};
  }
  const absl::Status status = memory_.Plug(blocks.first, blocks.count);
  if (!status.ok()) {
    return {.type = MemResponseType::kBusy,
            .why = std::string(status.message())};
  }
  UpdatePlugged();
  return {.type = MemResponseType::kAck};
}

MemBlocks::Answer MemBlocks::Unplug(const BlockRun& blocks) {
  if (memory_.StateOf(blocks.first, blocks.count) !=
      DeviceMemory::BlockState::kPlugged) {
    return {};
  }
  const absl::Status status = memory_.Unplug(blocks.first, blocks.count);
  if (!status.ok()) {
    return {.type = MemResponseType::kBusy,
            .why = std::string(status.message())};
  }
  UpdatePlugged();
  return {.type = MemResponseType::kAck};
}

MemBlocks::Answer MemBlocks::State(const BlockRun& blocks) const {
  Answer answer{.type = MemResponseType::kAck};
  switch (memory_.StateOf(blocks.first, blocks.count)) {
    case DeviceMemory::BlockState::kPlugged:
      answer.state = MemState::kPlugged;
      break;
    case DeviceMemory::BlockState::kUnplugged:
      answer.state = MemState::kUnplugged;
      break;
    case DeviceMemory::BlockState::kMixed:
      answer.state = MemState::kMixed;
      break;
  }
  return answer;
}

void MemBlocks::UpdatePlugged() {
  const std::lock_guard lock(mutex_);
  changing_();
  config_.plugged_size = memory_.plugged_size();
}

void MemBlocks::UnplugAll() {
  memory_.UnplugAll();
  const std::lock_guard lock(mutex_);
  changing_();
  config_.plugged_size = 0;
  config_.usable_region_size = UsableFor(config_.requested_size);
}

void MemBlocks::SystemReset() { UnplugAll(); }

}  // namespace kvmlet::virtio
