// SPDX-License-Identifier: Apache-2.0
// Where the pages of guest memory come from: anonymous memory, a memfd, the
// host's hugetlb pool or a file. It maps parts of itself over a reservation of
// address space, and gives parts back to the host.
//
// Threads: any, the kernel serialises. Units: bytes; ranges are multiples of
// page_size(). Errors begin with the flag that asked for the memory and end
// with the remedy.
#ifndef KVMLET_VMM_MEMORY_BACKING_H_
#define KVMLET_VMM_MEMORY_BACKING_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

enum class BackingKind { kAnonymous, kMemfd, kHugetlb2M, kHugetlb1G, kFile };

struct BackingOptions {
  BackingKind kind = BackingKind::kAnonymous;
  std::string file{};  // kFile only
  // So that another process can map it; a file that is not shared is never
  // written to.
  bool shared = false;
  bool prealloc = false;  // populate before the guest may use it
};

// The unit in which such memory comes and goes.
uint64_t BackingPageSize(BackingKind kind);
// The host's own page, which may be larger than the 4 KiB of guests.
uint64_t HostPageSize();

class Backing {
 public:
  // `flag` is the one to blame: "--memory".
  static absl::StatusOr<Backing> Open(std::string flag,
                                      const BackingOptions& options,
                                      uint64_t size);

  uint64_t page_size() const { return BackingPageSize(options_.kind); }
  // There is a memfd or a file, and what the guest writes reaches it.
  bool shared() const { return shared_; }
  int fd() const { return shared_ ? fd_.get() : -1; }
  // A page that was given back reads as zeroes, and not as a private file.
  bool discards_to_zero() const { return shared_ || !fd_.ok(); }
  const BackingOptions& options() const { return options_; }

  // Maps [offset, offset + size) at `host`, over what is mapped there. Pages
  // of the hugetlb pool are set aside here, so that an empty pool is an error
  // and not a SIGBUS later.
  absl::Status Map(std::byte* host, uint64_t size, uint64_t offset) const;
  // Sets disk blocks of a file, or pages of the hugetlb pool, aside without
  // mapping them: their lack is an error here and not a SIGBUS later.
  absl::Status Allocate(uint64_t size, uint64_t offset) const;
  // Gives the pages back to the host; they then read as zeroes, or as the
  // content of a private file. `host` is where they are mapped; for shared
  // memory it need not be mapped any more.
  absl::Status Discard(std::byte* host, uint64_t size, uint64_t offset) const;
  // The same for the whole pages inside a mapped range of any alignment, also
  // while the guest runs. Returns how many bytes these were.
  absl::StatusOr<uint64_t> DiscardWithin(const iovec& range) const;
  // Whether a file of this kind gives anything back; changes nothing.
  absl::Status CheckDiscard() const;
  // Populates what is mapped there, with several threads when it is much. An
  // error leaves part of it populated.
  absl::Status Populate(std::byte* host, uint64_t size) const;

 private:
  Backing(std::string flag, BackingOptions options)
      : flag_(std::move(flag)), options_(std::move(options)) {}
  absl::Status OpenMemfd(uint64_t size);
  absl::Status OpenFile(uint64_t size);
  absl::Status CheckFile(uint64_t size) const;
  absl::Status MapError(int error_number, uint64_t size) const;

  std::string flag_;
  BackingOptions options_;
  UniqueFd fd_;
  bool shared_ = false;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_BACKING_H_
