// SPDX-License-Identifier: Apache-2.0
// The guest's RAM, that of the start and that of memory devices: owns the host
// mappings and is the only checked door through which the monitor touches
// them; memory that a device has not plugged lies outside. Values are copied in
// and out; a pointer into guest RAM leaves this class only as an iovec for the
// kernel (Iovecs) and is never dereferenced by a device.
//
// Threads: every member may be called from any thread; the guest may change
// the bytes at any time, so read a field once and use only the copy.
// Units: bytes. Errors: an access that is not wholly inside RAM returns false
// or nullopt and touches nothing; one that meets memory which the host has lost
// (bus_errors.h) does the same, having perhaps done a part.
#ifndef KVMLET_VMM_MEMORY_GUEST_MEMORY_H_
#define KVMLET_VMM_MEMORY_GUEST_MEMORY_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/mapped_region.h"
#include "vmm/memory/backing.h"
#include "vmm/memory/device_memory.h"
#include "vmm/memory/file_memory.h"
#include "vmm/memory/gpa.h"
#include "vmm/memory/host_nodes.h"
#include "vmm/memory/ram_region.h"

namespace kvmlet {

class GuestMemory {
 public:
  // Ranges must be sorted, disjoint, below 2^56 and multiples of 4 KiB (of the
  // huge page for hugetlb). Guest and host addresses are congruent modulo 2
  // MiB, and modulo 1 GiB when there is 1 GiB or more, so that KVM can map huge
  // pages. `nodes` share the ranges out, in order.
  static absl::StatusOr<GuestMemory> Create(
      std::span<const RamRange> ranges, const BackingOptions& options,
      std::span<const NodeBinding> nodes = {});

  GuestMemory(GuestMemory&&) = default;
  GuestMemory& operator=(GuestMemory&&) = default;

  // Memory that comes and goes; before the guest starts. It must not overlap
  // what is there.
  DeviceMemory& AddDevice(std::unique_ptr<DeviceMemory> device);

  // A file beside RAM; before the guest starts. It must not overlap what is
  // there. Discard leaves it alone.
  void AddFile(std::unique_ptr<FileMemory> file);
  std::span<const std::unique_ptr<FileMemory>> files() const { return files_; }

  bool Contains(Gpa at, uint64_t length) const {
    return Host(at, length) != nullptr;
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

  // Where the guest has what lies at this address of the monitor; nothing when
  // it is not the guest's.
  std::optional<Gpa> Find(const std::byte* host) const;

  // The RAM of the start, which stays.
  std::span<const RamRegion> regions() const { return regions_; }
  uint64_t size() const;
  // The memfd or file that holds that RAM, -1 for private memory.
  int fd() const { return backing_.fd(); }
  // The unit in which its pages come and go: the host's, or the huge page.
  uint64_t page_size() const { return backing_.page_size(); }
  // A page that was given back reads as zeroes, and not as a private file.
  bool discards_to_zero() const { return backing_.discards_to_zero(); }
  // Gives the whole pages inside a range from Iovecs back to the host, also
  // while the guest runs. Returns how many bytes these were.
  absl::StatusOr<uint64_t> Discard(const iovec& range) const;
  std::span<const std::unique_ptr<DeviceMemory>> devices() const {
    return devices_;
  }
  // Gives every page of regions() back to the host; the guest then reads
  // zeroes, or a private file's content, as at the start. For reboot; no vCPU
  // may run.
  absl::Status Discard() const;

 private:
  absl::Status Bind(std::span<const NodeBinding> nodes) const;
  explicit GuestMemory(Backing backing) : backing_(std::move(backing)) {}
  // Null when it is not wholly in one region.
  std::byte* Host(Gpa at, uint64_t length) const;
  // The part of [at, at+length) that begins at `at` and lies in one region;
  // empty when `at` is outside.
  iovec HostFrom(Gpa at, uint64_t length) const;

  Backing backing_;
  MappedRegion mapping_;
  std::vector<RamRegion> regions_;
  std::vector<std::unique_ptr<DeviceMemory>> devices_;
  std::vector<std::unique_ptr<FileMemory>> files_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_GUEST_MEMORY_H_
