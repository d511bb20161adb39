// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/queue.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <string_view>
#include <utility>

#include "absl/strings/str_format.h"
#include "devices/virtio/spec.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::virtio {
namespace {

// The longest chain that an indirect table may hold, when the queue itself is
// shorter. Drivers stay far below; a hostile one could otherwise make each
// chain in flight cost the monitor half a megabyte of buffer lists.
constexpr uint32_t kMaxIndirectChain = 1024;

// Orders a store to one ring before a load from the other: the Dekker pattern
// of both suppression schemes (section 2.7.7 and 2.7.10). Every other access
// of a ring needs only acquire or release.
void FullFence() {
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
  std::atomic_thread_fence(std::memory_order_seq_cst);
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

// Walks one chain and fills a DescriptorChain, or says which rule it breaks.
class ChainWalker {
 public:
  ChainWalker(const GuestMemory& memory, bool indirect_allowed,
              std::vector<iovec>& scratch, DescriptorChain& chain)
      : memory_(memory),
        indirect_allowed_(indirect_allowed),
        scratch_(scratch),
        chain_(chain) {}

  // Follows the table of `entries` descriptors from `index` for at most
  // `limit` of them. Empty when the chain is sound.
  std::string_view Walk(Gpa table, uint32_t entries, uint32_t limit,
                        uint32_t index) {
    for (uint32_t count = 0; count < limit; ++count) {
      if (index >= entries) return "next is beyond the descriptor table";
      const auto desc =
          memory_.Load<VirtqDesc>(table + index * sizeof(VirtqDesc));
      if (!desc) return "descriptor table is outside RAM";
      if ((desc->flags & kDescIndirect) != 0) return Indirect(*desc);
      if (std::string_view error = AddBuffer(*desc); !error.empty()) {
        return error;
      }
      if ((desc->flags & kDescNext) == 0) return {};
      index = desc->next;
    }
    return "chain is too long or loops";
  }

 private:
  // Section 2.7.5.3. The write flag of such a descriptor means nothing; it is
  // the last one of the chain; its table cannot refer to another table.
  std::string_view Indirect(const VirtqDesc& desc) {
    if (!indirect_allowed_) return "indirect descriptor not allowed here";
    if ((desc.flags & kDescNext) != 0) return "indirect descriptor with NEXT";
    if (desc.len == 0 || desc.len % sizeof(VirtqDesc) != 0) {
      return "indirect table length is not a multiple of 16";
    }
    if (!memory_.Contains(Gpa{desc.addr}, desc.len)) {
      return "indirect table is outside RAM";
    }
    indirect_allowed_ = false;
    const uint32_t entries = desc.len / uint32_t{sizeof(VirtqDesc)};
    return Walk(Gpa{desc.addr}, entries, std::min(entries, kMaxIndirectChain),
                0);
  }

  std::string_view AddBuffer(const VirtqDesc& desc) {
    const bool writable = (desc.flags & kDescWrite) != 0;
    if (writable) {
      seen_writable_ = true;
    } else if (seen_writable_) {
      return "readable buffer after a writable one";
    }
    if (desc.len == 0) return {};
    if (desc.len > bytes_left_) return "chain holds more than 2^32 - 1 bytes";
    bytes_left_ -= desc.len;
    scratch_.clear();
    if (!memory_.Iovecs(Gpa{desc.addr}, desc.len, scratch_)) {
      return "buffer is outside RAM";
    }
    for (const iovec& range : scratch_) {
      writable ? chain_.AddWritable(range) : chain_.AddReadable(range);
    }
    return {};
  }

  const GuestMemory& memory_;
  bool indirect_allowed_;
  std::vector<iovec>& scratch_;
  DescriptorChain& chain_;
  bool seen_writable_ = false;
  uint32_t bytes_left_ = UINT32_MAX;
};

absl::Status CheckRing(const GuestMemory& memory, const char* what, Gpa at,
                       uint64_t size, uint64_t alignment) {
  if (at.value % alignment != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s at 0x%x is not a multiple of %u", what, at.value, alignment));
  }
  if (!memory.Contains(at, size)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s at 0x%x is not in RAM", what, at.value));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VirtQueue> VirtQueue::Create(const GuestMemory& memory,
                                            const QueueConfig& config,
                                            uint64_t features) {
  if (!std::has_single_bit(config.size) || config.size > kMaxQueueSize) {
    return absl::InvalidArgumentError(
        absl::StrFormat("queue size %u is not a power of two", config.size));
  }
  // Alignments: section 2.7, the table of the three parts.
  KVMLET_RETURN_IF_ERROR(CheckRing(memory, "descriptor table", config.desc,
                                   sizeof(VirtqDesc) * config.size, 16));
  KVMLET_RETURN_IF_ERROR(CheckRing(memory, "available ring", config.driver,
                                   AvailRingSize(config.size), 2));
  KVMLET_RETURN_IF_ERROR(CheckRing(memory, "used ring", config.device,
                                   UsedRingSize(config.size), 4));
  return VirtQueue(memory, config, features);
}

VirtQueue::VirtQueue(const GuestMemory& memory, const QueueConfig& config,
                     uint64_t features)
    : memory_(&memory),
      config_(config),
      event_index_((features & kFeatureEventIdx) != 0),
      indirect_((features & kFeatureIndirectDesc) != 0) {}

void VirtQueue::Break(std::string reason) {
  if (broken_) return;
  broken_ = true;
  error_ = std::move(reason);
}

bool VirtQueue::StoreAvailEvent() {
  return memory_->StoreRelease16(UsedAt(AvailEventOffset(config_.size)),
                                 next_avail_);
}

// Reads avail.idx; true when there is something to pop. The ring is empty for
// certain only after the driver was told from which index on to kick.
bool VirtQueue::Refresh() {
  std::optional<uint16_t> index = memory_->LoadAcquire16(AvailAt(kRingIndex));
  if (index == next_avail_ && event_index_ && kicks_enabled_) {
    if (!StoreAvailEvent()) index.reset();
    FullFence();
    if (index) index = memory_->LoadAcquire16(AvailAt(kRingIndex));
  }
  if (!index) {
    Break("ring is outside RAM");
    return false;
  }
  const auto available = static_cast<uint16_t>(*index - next_avail_);
  if (available > config_.size) {
    Break(absl::StrFormat("avail.idx jumped by %u in a queue of %u", available,
                          config_.size));
    return false;
  }
  avail_index_ = *index;
  return available != 0;
}

bool VirtQueue::HasAvailable() {
  if (broken_) return false;
  return next_avail_ != avail_index_ || Refresh();
}

std::optional<DescriptorChain> VirtQueue::Pop() {
  if (!HasAvailable()) return std::nullopt;
  // A driver has only `size` descriptors: with that many chains in flight it
  // reused one that it does not own, and would fill the monitor's memory.
  if (static_cast<uint16_t>(next_avail_ - next_used_) >= config_.size) {
    Break("more chains in flight than the queue has descriptors");
    return std::nullopt;
  }
  const uint64_t slot = next_avail_ & (config_.size - 1u);
  const auto head = memory_->Load<uint16_t>(AvailAt(kRingEntries + 2 * slot));
  if (!head || *head >= config_.size) {
    Break("avail entry is beyond the descriptor table");
    return std::nullopt;
  }
  std::optional<DescriptorChain> chain(std::in_place, *head);
  ChainWalker walker(*memory_, indirect_, scratch_, *chain);
  const std::string_view error =
      walker.Walk(config_.desc, config_.size, config_.size, *head);
  if (!error.empty()) {
    Break(absl::StrFormat("descriptor %u: %s", *head, error));
    return std::nullopt;
  }
  ++next_avail_;
  return chain;
}

void VirtQueue::Unpop() { --next_avail_; }

void VirtQueue::Stage(uint16_t head, uint32_t written) {
  if (broken_) return;
  const uint64_t slot = next_used_ & (config_.size - 1u);
  const VirtqUsedElem element{head, written};
  if (!memory_->Store(UsedAt(kRingEntries + sizeof(element) * slot), element)) {
    Break("used ring is outside RAM");
    return;
  }
  ++next_used_;
}

void VirtQueue::Publish() {
  if (broken_) return;
  // Release: the driver sees the buffers and the entries before the index.
  if (!memory_->StoreRelease16(UsedAt(kRingIndex), next_used_)) {
    Break("used ring is outside RAM");
    return;
  }
  published_used_ = next_used_;
}

void VirtQueue::Push(uint16_t head, uint32_t written) {
  Stage(head, written);
  Publish();
}

bool VirtQueue::ShouldNotify() {
  if (broken_) return false;
  const uint16_t before = std::exchange(signalled_used_, published_used_);
  if (before == published_used_) return false;
  FullFence();
  if (!event_index_) {
    const auto flags = memory_->LoadAcquire16(AvailAt(kRingFlags));
    return flags && (*flags & kAvailNoInterrupt) == 0;
  }
  const auto event =
      memory_->LoadAcquire16(AvailAt(UsedEventOffset(config_.size)));
  if (!event) return false;
  // Was used_event among the indices published since the last call? All
  // modulo 2^16 (section 2.7.10).
  const auto past_event = static_cast<uint16_t>(published_used_ - *event - 1);
  const auto published = static_cast<uint16_t>(published_used_ - before);
  return past_event < published;
}

void VirtQueue::EnableKicks() {
  kicks_enabled_ = true;
  if (broken_) return;
  const bool stored = event_index_
                          ? StoreAvailEvent()
                          : memory_->StoreRelease16(UsedAt(kRingFlags), 0);
  if (!stored) Break("used ring is outside RAM");
  FullFence();
}

void VirtQueue::DisableKicks() {
  kicks_enabled_ = false;
  // With the event index the driver falls silent by itself: avail_event stays
  // behind.
  if (broken_ || event_index_) return;
  if (!memory_->StoreRelease16(UsedAt(kRingFlags), kUsedNoNotify)) {
    Break("used ring is outside RAM");
  }
}

}  // namespace kvmlet::virtio
