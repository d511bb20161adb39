// SPDX-License-Identifier: Apache-2.0
// One region of guest memory that a device plugs and unplugs in blocks. The
// region is address space only; a block has pages, and is inside the checked
// door, from Plug to Unplug. A plugged block reads as zeroes at first, an
// unplugged one has given its pages back to the host.
//
// Beneath an unplugged block lies private anonymous memory (once anything of
// its slot was plugged), never a hole: an access that was checked before the
// block went, or a vCPU's in a slot that stays for its neighbours, finds zero
// pages and cannot end the monitor with SIGSEGV, or with SIGBUS for lack of
// huge pages or disk. DiscardTouched() counts and frees what such accesses
// leave.
//
// Threads: Plug, Unplug, UnplugAll, AddListener, RemoveListener and
// DiscardTouched from any, they take one lock; the rest is lock-free.
// Units: bytes, and blocks where it says so.
#ifndef KVMLET_VMM_MEMORY_DEVICE_MEMORY_H_
#define KVMLET_VMM_MEMORY_DEVICE_MEMORY_H_

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/log_limiter.h"
#include "vmm/base/mapped_region.h"
#include "vmm/memory/backing.h"
#include "vmm/memory/block_bitmap.h"
#include "vmm/memory/memory_listener.h"
#include "vmm/memory/ram_region.h"

namespace kvmlet {

struct DeviceMemoryOptions {
  std::string flag;  // the one to blame, "--virtio-mem vm0"
  Gpa base;
  uint64_t size = 0;        // multiple of block_size
  uint64_t block_size = 0;  // power of two, at least the backing's page
  BackingOptions backing;
  std::vector<uint32_t> host_nodes{};  // empty: as the process's policy says
};

class DeviceMemory {
 public:
  enum class BlockState { kPlugged, kUnplugged, kMixed };

  // Reserves the address space; a file's content stays until Clear.
  static absl::StatusOr<std::unique_ptr<DeviceMemory>> Create(
      const DeviceMemoryOptions& options);

  // Discards a file's content: when all else is known to be good, before the
  // guest starts.
  absl::Status Clear();

  Gpa base() const { return options_.base; }
  uint64_t size() const { return options_.size; }
  uint64_t block_size() const { return options_.block_size; }
  uint64_t block_count() const { return plugged_.size(); }
  // The unit of KVM's memory slots: 128 MiB, more for a large block or when
  // there would be more than 256 of them.
  uint64_t slot_size() const { return slot_size_; }
  const BackingOptions& backing() const { return options_.backing; }
  int fd() const { return backing_.fd(); }

  // Null unless all of it is plugged.
  std::byte* Host(Gpa at, uint64_t length) const;
  // The plugged part of [at, at+length) that begins at `at`.
  iovec HostFrom(Gpa at, uint64_t length) const;
  // Any part of the region, plugged or not.
  RamRegion Part(uint64_t first_block, uint64_t count) const;

  uint64_t plugged_size() const { return plugged_size_.load(); }
  BlockState StateOf(uint64_t first_block, uint64_t count) const;
  // Adjacent plugged blocks, in order.
  std::vector<BlockRun> PluggedRuns() const;

  // All of the blocks were unplugged before. An error leaves them so.
  absl::Status Plug(uint64_t first_block, uint64_t count);
  // All of them were plugged. An error leaves them so, maybe as zeroes.
  absl::Status Unplug(uint64_t first_block, uint64_t count);
  void UnplugAll();

  // While it is on, a plug that is populating much memory is soon refused: its
  // thread is wanted for a reset, or for the end. From any thread.
  void Hurry(bool on) { hurry_ = on; }

  // The listener hears at once of what is plugged now. It is removed before it
  // dies, with OnUnplug for what is plugged then.
  absl::Status AddListener(MemoryListener& listener);
  void RemoveListener(MemoryListener& listener);

  // A range from HostFrom is this region's.
  bool Maps(const iovec& range) const {
    const auto* at = static_cast<const std::byte*>(range.iov_base);
    return at >= host_ && at < host_ + size();
  }
  // Gives the pages inside a plugged range back to the host; it stays plugged.
  absl::StatusOr<uint64_t> DiscardWithin(const iovec& range) const {
    return backing_.DiscardWithin(range);
  }

  // Frees what was touched while unplugged, and returns how many bytes.
  uint64_t DiscardTouched();
  // Something could be touched: at least one block was plugged once.
  bool committed() const { return any_committed_.load(); }

 private:
  DeviceMemory(DeviceMemoryOptions options, Backing backing);
  absl::Status Reserve();
  // With mutex_ held.
  absl::Status Commit(const RamRegion& part);
  absl::Status Provide(const RamRegion& part) const;
  absl::Status MapScratch(const RamRegion& part) const;
  absl::Status Populate(const RamRegion& part) const;
  void Free(const RamRegion& part) const;
  absl::Status Announce(const RamRegion& part);
  uint64_t DiscardTouched(const RamRegion& part) const;
  // Calls with each run of committed slots, as a part.
  template <typename Function>
  void ForEachCommitted(Function function) const;

  const DeviceMemoryOptions options_;
  const Backing backing_;
  uint64_t slot_size_ = 0;
  MappedRegion mapping_;
  std::byte* host_ = nullptr;
  mutable LogLimiter log_{"memory"};
  BlockBitmap plugged_;
  std::atomic<uint64_t> plugged_size_{0};
  std::atomic<bool> any_committed_{false};
  std::atomic<bool> hurry_{false};

  std::mutex mutex_;
  BlockBitmap committed_;                   // slots; guarded by mutex_
  std::vector<MemoryListener*> listeners_;  // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_DEVICE_MEMORY_H_
