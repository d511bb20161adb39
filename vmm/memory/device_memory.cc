// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/device_memory.h"

#include <glog/logging.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"
#include "vmm/memory/host_nodes.h"

namespace kvmlet {
namespace {

constexpr uint64_t k2MiB = 2ull << 20;
constexpr uint64_t k1GiB = 1ull << 30;
constexpr uint64_t kLeastSlot = 128ull << 20;
constexpr uint64_t kMostSlots = 256;

uint64_t SlotSize(const DeviceMemoryOptions& options) {
  uint64_t size = std::max(kLeastSlot, options.block_size);
  while (size < k1GiB && options.size / size > kMostSlots) size *= 2;
  return size;
}

std::string_view View(absl::string_view text) {
  return {text.data(), text.size()};
}

uint64_t DivideUp(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceMemory>> DeviceMemory::Create(
    const DeviceMemoryOptions& options) {
  CHECK(std::has_single_bit(options.block_size));
  CHECK_GE(options.block_size, BackingPageSize(options.backing.kind));
  CHECK_EQ(options.base.value % options.block_size, 0u);
  CHECK_EQ(options.size % options.block_size, 0u);
  CHECK_GT(options.size, 0u);
  KVMLET_ASSIGN_OR_RETURN(
      Backing backing,
      Backing::Open(options.flag, options.backing, options.size));
  auto memory = std::unique_ptr<DeviceMemory>(
      new DeviceMemory(options, std::move(backing)));
  KVMLET_RETURN_IF_ERROR(memory->Reserve());
  return memory;
}

DeviceMemory::DeviceMemory(DeviceMemoryOptions options, Backing backing)
    : options_(std::move(options)),
      backing_(std::move(backing)),
      slot_size_(SlotSize(options_)),
      plugged_(options_.size / options_.block_size),
      committed_(DivideUp(options_.size, slot_size_)) {}

absl::Status DeviceMemory::Reserve() {
  // Guest and host addresses are congruent, so that KVM can map huge pages.
  const uint64_t alignment = size() >= k1GiB ? k1GiB : k2MiB;
  const uint64_t head = base().value % alignment;
  absl::StatusOr<MappedRegion> region =
      MappedRegion::Reserve(head + size(), alignment);
  if (!region.ok()) return Prefixed(options_.flag, region.status());
  mapping_ = *std::move(region);
  host_ = mapping_.data() + head;
  ::madvise(host_, size(), MADV_DONTDUMP);
  // Private pages keep it; shared ones need it again where they are mapped.
  KVMLET_RETURN_IF_ERROR(
      BindToHostNodes(options_.flag, host_, size(), options_.host_nodes));
  if (options_.backing.kind != BackingKind::kFile) return absl::OkStatus();
  return backing_.CheckDiscard();
}

absl::Status DeviceMemory::Clear() {
  const std::lock_guard lock(mutex_);
  CHECK_EQ(plugged_size(), 0u);
  if (options_.backing.kind != BackingKind::kFile) return absl::OkStatus();
  return backing_.Discard(host_, size(), 0);
}

RamRegion DeviceMemory::Part(uint64_t first_block, uint64_t count) const {
  const uint64_t offset = first_block * block_size();
  return {base() + offset, count * block_size(), host_ + offset, offset};
}

std::byte* DeviceMemory::Host(Gpa at, uint64_t length) const {
  const uint64_t offset = at - base();
  if (offset >= size() || length > size() - offset) return nullptr;
  const uint64_t first = offset / block_size();
  const uint64_t last =
      (offset + std::max<uint64_t>(length, 1) - 1) / block_size();
  return plugged_.All(first, last - first + 1) ? host_ + offset : nullptr;
}

iovec DeviceMemory::HostFrom(Gpa at, uint64_t length) const {
  const uint64_t offset = at - base();
  if (offset >= size() || length == 0) return {};
  length = std::min(length, size() - offset);
  const uint64_t first = offset / block_size();
  const uint64_t end = DivideUp(offset + length, block_size());
  const uint64_t gap = plugged_.Find(false, first, end) * block_size();
  if (gap <= offset) return {};
  return {host_ + offset, std::min(length, gap - offset)};
}

DeviceMemory::BlockState DeviceMemory::StateOf(uint64_t first_block,
                                               uint64_t count) const {
  if (plugged_.All(first_block, count)) return BlockState::kPlugged;
  if (plugged_.None(first_block, count)) return BlockState::kUnplugged;
  return BlockState::kMixed;
}

std::vector<BlockRun> DeviceMemory::PluggedRuns() const {
  std::vector<BlockRun> runs;
  BlockRun run = plugged_.NextRun(true, 0, block_count());
  while (run.count > 0) {
    runs.push_back(run);
    run = plugged_.NextRun(true, run.first + run.count, block_count());
  }
  return runs;
}

// From reserved to usable, in whole slots and for good: where the host counts
// every promise of memory this is where it may refuse.
absl::Status DeviceMemory::Commit(const RamRegion& part) {
  const uint64_t first = part.fd_offset / slot_size_;
  const uint64_t end = DivideUp(part.fd_offset + part.size, slot_size_);
  for (uint64_t slot = first; slot < end; ++slot) {
    if (committed_.All(slot, 1)) continue;
    const uint64_t offset = slot * slot_size_;
    const uint64_t length = std::min(slot_size_, size() - offset);
    if (::mprotect(host_ + offset, length, PROT_READ | PROT_WRITE) != 0) {
      return OsRefused(
          errno,
          absl::StrCat(options_.flag, ": commit ", length >> 20,
                       " MiB; where the host counts promised memory "
                       "(vm.overcommit_memory, ulimit -d) raise its limit, or "
                       "use hugepages= or file="));
    }
    // Scratch pages should stay small; plugged ones should not.
    const bool huge = !backing_.shared() && backing_.page_size() < k2MiB;
    ::madvise(host_ + offset, length, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    committed_.Set(slot, 1);
    any_committed_ = true;
  }
  return absl::OkStatus();
}

absl::Status DeviceMemory::MapScratch(const RamRegion& part) const {
  if (::mmap(part.host, part.size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED) {
    return OsRefused(errno,
                     absl::StrCat(options_.flag,
                                  ": unmap a part; is the limit "
                                  "/proc/sys/vm/max_map_count reached?"));
  }
  ::madvise(part.host, part.size, MADV_NOHUGEPAGE);
  ::madvise(part.host, part.size, MADV_DONTDUMP);
  return absl::OkStatus();
}

absl::Status DeviceMemory::Populate(const RamRegion& part) const {
  for (uint64_t at = 0; at < part.size; at += k1GiB) {
    if (hurry_) {
      return absl::UnavailableError(
          absl::StrCat(options_.flag, ": populating it takes too long now"));
    }
    KVMLET_RETURN_IF_ERROR(
        backing_.Populate(part.host + at, std::min(k1GiB, part.size - at)));
  }
  return absl::OkStatus();
}

// Pages for the part, all zero. What can fail comes before what cannot be
// undone: mmap over a mapping may fail with that mapping gone.
absl::Status DeviceMemory::Provide(const RamRegion& part) const {
  KVMLET_RETURN_IF_ERROR(
      backing_.Discard(part.host, part.size, part.fd_offset));
  absl::Status status;
  if (backing_.shared()) {
    status = backing_.Allocate(part.size, part.fd_offset);
    if (status.ok()) {
      status = backing_.Map(part.host, part.size, part.fd_offset);
    }
    if (status.ok()) {
      status = BindToHostNodes(options_.flag, part.host, part.size,
                               options_.host_nodes);
    }
  }
  // The pool's pages are promised for all nodes together: those of one are only
  // certain when they are there.
  const bool of_nodes =
      backing_.page_size() >= k2MiB && !options_.host_nodes.empty();
  if (status.ok() && (options_.backing.prealloc || of_nodes)) {
    status = Populate(part);
  }
  if (status.ok()) return status;
  if (backing_.shared()) MapScratch(part).IgnoreError();
  Free(part);
  return status;
}

// A host that does not take its pages back costs memory, not correctness: the
// next plug discards again, or fails.
void DeviceMemory::Free(const RamRegion& part) const {
  const absl::Status status =
      backing_.Discard(part.host, part.size, part.fd_offset);
  if (!status.ok()) log_.Warn(View(status.message()));
}

// All listeners or none.
absl::Status DeviceMemory::Announce(const RamRegion& part) {
  for (size_t i = 0; i < listeners_.size(); ++i) {
    const absl::Status status = listeners_[i]->OnPlug(part);
    if (status.ok()) continue;
    while (i-- > 0) listeners_[i]->OnUnplug(part);
    return status;
  }
  return absl::OkStatus();
}

absl::Status DeviceMemory::Plug(uint64_t first_block, uint64_t count) {
  const std::lock_guard lock(mutex_);
  CHECK(plugged_.None(first_block, count));
  const RamRegion part = Part(first_block, count);
  KVMLET_RETURN_IF_ERROR(Commit(part));
  KVMLET_RETURN_IF_ERROR(Provide(part));
  const absl::Status status = Announce(part);
  if (!status.ok()) {
    if (backing_.shared()) MapScratch(part).IgnoreError();
    Free(part);
    return status;
  }
  plugged_.Set(first_block, count);
  plugged_size_ += part.size;
  return absl::OkStatus();
}

absl::Status DeviceMemory::Unplug(uint64_t first_block, uint64_t count) {
  const std::lock_guard lock(mutex_);
  CHECK(plugged_.All(first_block, count));
  const RamRegion part = Part(first_block, count);
  // First, because these are the steps that may fail.
  KVMLET_RETURN_IF_ERROR(
      backing_.Discard(part.host, part.size, part.fd_offset));
  if (backing_.shared()) KVMLET_RETURN_IF_ERROR(MapScratch(part));
  plugged_.Clear(first_block, count);
  plugged_size_ -= part.size;
  for (size_t i = listeners_.size(); i-- > 0;) listeners_[i]->OnUnplug(part);
  Free(part);
  return absl::OkStatus();
}

template <typename Function>
void DeviceMemory::ForEachCommitted(Function function) const {
  BlockRun run = committed_.NextRun(true, 0, committed_.size());
  while (run.count > 0) {
    const uint64_t offset = run.first * slot_size_;
    const uint64_t length = std::min(run.count * slot_size_, size() - offset);
    function(RamRegion{base() + offset, length, host_ + offset, offset});
    run = committed_.NextRun(true, run.first + run.count, committed_.size());
  }
}

void DeviceMemory::UnplugAll() {
  const std::lock_guard lock(mutex_);
  const std::vector<BlockRun> runs = PluggedRuns();
  if (runs.empty()) return;
  plugged_.Clear(0, block_count());
  plugged_size_ = 0;
  for (const BlockRun& run : runs) {
    const RamRegion part = Part(run.first, run.count);
    for (size_t i = listeners_.size(); i-- > 0;) listeners_[i]->OnUnplug(part);
  }
  ForEachCommitted([this](const RamRegion& part) {
    // Whole slots: this makes fewer mappings of many.
    const absl::Status status =
        backing_.shared() ? MapScratch(part) : absl::OkStatus();
    if (!status.ok()) log_.Warn(View(status.message()));
    Free(part);
  });
}

absl::Status DeviceMemory::AddListener(MemoryListener& listener) {
  const std::lock_guard lock(mutex_);
  const std::vector<BlockRun> runs = PluggedRuns();
  for (size_t i = 0; i < runs.size(); ++i) {
    const absl::Status status =
        listener.OnPlug(Part(runs[i].first, runs[i].count));
    if (status.ok()) continue;
    while (i-- > 0) listener.OnUnplug(Part(runs[i].first, runs[i].count));
    return status;
  }
  listeners_.push_back(&listener);
  return absl::OkStatus();
}

void DeviceMemory::RemoveListener(MemoryListener& listener) {
  const std::lock_guard lock(mutex_);
  if (std::erase(listeners_, &listener) == 0) return;
  for (const BlockRun& run : PluggedRuns()) {
    listener.OnUnplug(Part(run.first, run.count));
  }
}

uint64_t DeviceMemory::DiscardTouched() {
  const std::lock_guard lock(mutex_);
  uint64_t touched = 0;
  ForEachCommitted([this, &touched](const RamRegion& part) {
    const uint64_t end = DivideUp(part.fd_offset + part.size, block_size());
    uint64_t at = part.fd_offset / block_size();
    while (true) {
      const BlockRun run = plugged_.NextRun(false, at, end);
      if (run.count == 0) return;
      touched += DiscardTouched(Part(run.first, run.count));
      at = run.first + run.count;
    }
  });
  return touched;
}

// Every unplugged block is private anonymous memory, whatever the backing.
uint64_t DeviceMemory::DiscardTouched(const RamRegion& part) const {
  constexpr uint64_t kStep = 64ull << 20;
  const uint64_t page = HostPageSize();
  std::vector<unsigned char> pages(std::min(kStep, part.size) / page);
  uint64_t touched = 0;
  for (uint64_t at = 0; at < part.size; at += kStep) {
    const uint64_t length = std::min(kStep, part.size - at);
    if (::mincore(part.host + at, length, pages.data()) != 0) continue;
    const auto count = static_cast<uint64_t>(std::count_if(
        pages.begin(), pages.begin() + static_cast<ptrdiff_t>(length / page),
        [](unsigned char state) { return (state & 1) != 0; }));
    if (count == 0) continue;
    touched += count * page;
    ::madvise(part.host + at, length, MADV_DONTNEED);
  }
  return touched;
}

}  // namespace kvmlet
