// SPDX-License-Identifier: Apache-2.0
// The guest's RAM: owns the host mappings and is the only checked door through
// which the monitor touches them. Values are copied in and out; a pointer into
// guest RAM leaves this class only as an iovec for the kernel (Iovecs) and is
// never dereferenced by a device.
//
// Threads: every member may be called from any thread; the guest may change
// the bytes at any time, so read a field once and use only the copy.
// Units: bytes. Errors: an access that is not wholly inside RAM returns false
// or nullopt and touches nothing.
#ifndef KVMLET_VMM_MEMORY_GUEST_MEMORY_H_
#define KVMLET_VMM_MEMORY_GUEST_MEMORY_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/mapped_region.h"
#include "vmm/base/unique_fd.h"
#include "vmm/memory/gpa.h"

namespace kvmlet {

// Where the pages come from.
enum class BackingKind { kAnonymous, kMemfd, kHugetlb2M, kHugetlb1G, kFile };

struct BackingOptions {
  BackingKind kind = BackingKind::kAnonymous;
  std::string file{};  // kFile only
  // So that another process can map it; a file that is not shared is never
  // written to.
  bool shared = false;
  bool prealloc = false;  // populate before the guest starts
};

// One stretch of guest-physical RAM.
struct RamRange {
  Gpa base;
  uint64_t size = 0;
};

// A RamRange with its host mapping, as KVM and vhost need it.
struct RamRegion {
  Gpa base;
  uint64_t size = 0;
  std::byte* host = nullptr;
  uint64_t fd_offset = 0;  // within fd(), when there is one

  bool Contains(Gpa at, uint64_t length) const {
    return at >= base && length <= size && at - base <= size - length;
  }
};

class GuestMemory {
 public:
  // Ranges must be sorted, disjoint, below 2^56 and multiples of 4 KiB (of the
  // huge page for hugetlb). Guest and host addresses are congruent modulo 2
  // MiB, and modulo 1 GiB when there is 1 GiB or more, so that KVM can map huge
  // pages.
  static absl::StatusOr<GuestMemory> Create(std::span<const RamRange> ranges,
                                            const BackingOptions& options);

  GuestMemory(GuestMemory&&) = default;
  GuestMemory& operator=(GuestMemory&&) = default;

  bool Contains(Gpa at, uint64_t length) const {
    return Find(at, length) != nullptr;
  }
  [[nodiscard]] bool Read(Gpa at, std::span<std::byte> out) const;
  [[nodiscard]] bool Write(Gpa at, std::span<const std::byte> data) const;
  // Sets `length` bytes to zero.
  [[nodiscard]] bool Zero(Gpa at, uint64_t length) const;

  // One copy of a plain value, read exactly once.
  template <typename T>
  std::optional<T> Load(Gpa at) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (!Read(at, std::as_writable_bytes(std::span(&value, 1)))) return {};
    return value;
  }
  template <typename T>
  [[nodiscard]] bool Store(Gpa at, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    return Write(at, std::as_bytes(std::span(&value, 1)));
  }

  // Single accesses with memory ordering, for ring indices. The address must
  // be a multiple of 2.
  std::optional<uint16_t> LoadAcquire16(Gpa at) const;
  [[nodiscard]] bool StoreRelease16(Gpa at, uint16_t value) const;

  // Appends the host ranges of [at, at+length), for readv/writev, io_uring,
  // vhost. False, and nothing appended, when it is not wholly in RAM. A range
  // may span two regions that touch in guest-physical space.
  [[nodiscard]] bool Iovecs(Gpa at, uint64_t length,
                            std::vector<iovec>& out) const;

  std::span<const RamRegion> regions() const { return regions_; }
  uint64_t size() const;
  // The memfd or file that holds all of RAM, -1 for private memory.
  int fd() const { return shared_ ? fd_.get() : -1; }
  // The unit in which pages come and go: the host's, or the huge page.
  uint64_t page_size() const { return page_size_; }
  // A page that was given back reads as zeroes, and not as a private file.
  bool discards_to_zero() const { return shared_ || !fd_.ok(); }
  // Gives the whole pages inside a range from Iovecs back to the host, also
  // while the guest runs. Returns how many bytes these were.
  absl::StatusOr<uint64_t> Discard(const iovec& range) const;
  // Gives every page back to the host; the guest then reads zeroes, or a
  // private file's content, as at the start. For reboot; no vCPU may run.
  absl::Status Discard() const;

 private:
  GuestMemory() = default;
  const RamRegion* Find(Gpa at, uint64_t length) const;

  UniqueFd fd_;
  bool shared_ = false;
  uint64_t page_size_ = 4096;
  MappedRegion mapping_;
  std::vector<RamRegion> regions_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_GUEST_MEMORY_H_
