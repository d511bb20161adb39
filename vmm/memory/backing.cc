// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/backing.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/mapped_region.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr uint64_t k4KiB = 4096;
constexpr uint64_t k2MiB = 2ull << 20;
constexpr uint64_t k1GiB = 1ull << 30;

// A thread that populates less costs more than it gains.
constexpr uint64_t kLeastPerThread = 32ull << 20;
constexpr uint64_t kMostThreads = 8;

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct Part {
  std::byte* host = nullptr;
  uint64_t size = 0;
  int error = 0;

  void Populate() {
    while (::madvise(host, size, MADV_POPULATE_WRITE) != 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      error = errno;
      return;
    }
  }
};

// What the host's pool lacks for so many bytes, and where to get it.
std::string PoolRemedy(uint64_t page, uint64_t size) {
  const std::string folder =
      absl::StrCat("/sys/kernel/mm/hugepages/hugepages-", page >> 10, "kB/");
  const char* const name = page == k1GiB ? "1G" : "2M";
  uint64_t all = 0;
  if (!(std::ifstream(folder + "nr_hugepages") >> all)) {
    return absl::StrCat("; this host has no huge pages of ", name,
                        ": choose another hugepages=");
  }
  uint64_t free = 0;
  uint64_t promised = 0;
  std::ifstream(folder + "free_hugepages") >> free;
  std::ifstream(folder + "resv_hugepages") >> promised;
  free -= std::min(free, promised);
  const uint64_t needed = (size + page - 1) / page;
  std::string text =
      absl::StrCat("; it needs ", needed, " huge pages of ", name, " and ",
                   free, " of the host's ", all, " are free");
  if (free >= needed) return text;
  const uint64_t enough = all - free + needed;
  absl::StrAppend(&text, ": echo ", enough, " >", folder, "nr_hugepages");
  // A running host seldom has so much in one piece.
  if (page == k1GiB) {
    absl::StrAppend(
        &text, ", or start the host with hugepagesz=1G hugepages=", enough);
  }
  return text;
}

// In parallel; a part that gets no thread is populated on this one. Not
// std::thread, which would end the process at a limit on threads.
void PopulateAll(std::vector<Part>& parts) {
  std::vector<pthread_t> threads;
  const auto run = [](void* part) -> void* {
    static_cast<Part*>(part)->Populate();
    return nullptr;
  };
  for (size_t i = 1; i < parts.size(); ++i) {
    pthread_t thread{};
    if (::pthread_create(&thread, nullptr, run, &parts[i]) == 0) {
      threads.push_back(thread);
    } else {
      parts[i].Populate();
    }
  }
  parts[0].Populate();
  for (const pthread_t thread : threads) ::pthread_join(thread, nullptr);
}

}  // namespace

uint64_t HostPageSize() {
  static const auto size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

uint64_t BackingPageSize(BackingKind kind) {
  switch (kind) {
    case BackingKind::kHugetlb2M:
      return k2MiB;
    case BackingKind::kHugetlb1G:
      return k1GiB;
    case BackingKind::kAnonymous:
    case BackingKind::kMemfd:
    case BackingKind::kFile:
      return k4KiB;
  }
  return k4KiB;
}

absl::StatusOr<Backing> Backing::Open(std::string flag,
                                      const BackingOptions& options,
                                      uint64_t size) {
  Backing backing(std::move(flag), options);
  switch (options.kind) {
    case BackingKind::kAnonymous:
      if (options.shared) KVMLET_RETURN_IF_ERROR(backing.OpenMemfd(size));
      break;
    case BackingKind::kMemfd:
    case BackingKind::kHugetlb2M:
    case BackingKind::kHugetlb1G:
      KVMLET_RETURN_IF_ERROR(backing.OpenMemfd(size));
      break;
    case BackingKind::kFile:
      KVMLET_RETURN_IF_ERROR(backing.OpenFile(size));
      break;
  }
  backing.shared_ = backing.fd_.ok() &&
                    (options.kind != BackingKind::kFile || options.shared);
  return backing;
}

absl::Status Backing::OpenMemfd(uint64_t size) {
  unsigned flags = MFD_CLOEXEC;
  if (options_.kind == BackingKind::kHugetlb2M) {
    flags |= MFD_HUGETLB | MFD_HUGE_2MB;
  }
  if (options_.kind == BackingKind::kHugetlb1G) {
    flags |= MFD_HUGETLB | MFD_HUGE_1GB;
  }
  fd_.Reset(::memfd_create("kvmlet-ram", flags));
  if (!fd_.ok()) return MapError(errno, size);
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    return MapError(errno, size);
  }
  return absl::OkStatus();
}

absl::Status Backing::OpenFile(uint64_t size) {
  const std::string what = absl::StrCat(flag_, " file=", options_.file);
  fd_.Reset(::open(options_.file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd_.ok()) return CannotOpen(errno, what);
  KVMLET_RETURN_IF_ERROR(CheckFile(size));
  struct flock lock {};
  // Whoever only reads it may do so with others.
  lock.l_type = static_cast<short>(options_.shared ? F_WRLCK : F_RDLCK);
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd_.get(), F_OFD_SETLK, &lock) != 0 &&
      (errno == EAGAIN || errno == EACCES)) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, ": in use by another process"));
  }
  struct stat st {};
  if (::fstat(fd_.get(), &st) != 0) return CannotOpen(errno, what);
  if (S_ISREG(st.st_mode) && st.st_size == 0 &&
      ::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    return PosixError(errno, absl::StrCat(what, ": cannot grow it to ", size));
  }
  return absl::OkStatus();
}

// A new or empty file grows; what has content of another size is somebody's.
absl::Status Backing::CheckFile(uint64_t size) const {
  struct stat st {};
  uint64_t has = size;
  if (::fstat(fd_.get(), &st) != 0) has = 0;
  if (S_ISREG(st.st_mode) && st.st_size != 0) {
    has = static_cast<uint64_t>(st.st_size);
  }
  if (S_ISBLK(st.st_mode) && ::ioctl(fd_.get(), BLKGETSIZE64, &has) != 0) {
    has = 0;
  }
  if (has >= size) return absl::OkStatus();
  return BadInput(absl::StrCat(
      flag_, " file=", options_.file, ": it has ", has, " bytes, and ", size,
      " are needed",
      S_ISREG(st.st_mode) ? absl::StrCat("; run truncate -s ", size, " ",
                                         options_.file, ", or remove it")
                          : "; choose a smaller size"));
}

absl::Status Backing::CheckDiscard() const {
  struct stat st {};
  if (::fstat(fd_.get(), &st) != 0 || S_ISBLK(st.st_mode)) {
    return absl::OkStatus();
  }
  // Behind its end, where there is nothing to lose.
  if (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  st.st_size, static_cast<off_t>(HostPageSize())) == 0) {
    return absl::OkStatus();
  }
  return BadInput(absl::StrCat(
      std::string(
          PosixError(errno, absl::StrCat(flag_, " file=", options_.file))
              .message()),
      "; put the file on a file system that can punch holes (tmpfs, ext4, "
      "xfs, btrfs)"));
}

absl::Status Backing::MapError(int error_number, uint64_t size) const {
  std::string remedy;
  if (page_size() > k4KiB) {
    remedy = PoolRemedy(page_size(), size);
  } else if (options_.kind == BackingKind::kFile) {
    remedy = absl::StrCat("; ", options_.file, " must be a regular file");
  } else {
    remedy = absl::StrCat("; choose a smaller ", flag_);
  }
  return PosixError(error_number, absl::StrCat(flag_, ": map ", size >> 20,
                                               " MiB of guest memory", remedy));
}

absl::Status Backing::Map(std::byte* host, uint64_t size,
                          uint64_t offset) const {
  int flags = MAP_FIXED | (shared_ ? MAP_SHARED : MAP_PRIVATE);
  if (!shared_) flags |= MAP_NORESERVE;
  if (!fd_.ok()) flags |= MAP_ANONYMOUS;
  if (::mmap(host, size, PROT_READ | PROT_WRITE, flags, fd_.get(),
             static_cast<off_t>(offset)) == MAP_FAILED) {
    return MapError(errno, size);
  }
  // Advice only: a kernel without THP refuses and the guest still runs.
  if (page_size() == k4KiB) ::madvise(host, size, MADV_HUGEPAGE);
  ::madvise(host, size, MADV_DONTDUMP);
  return absl::OkStatus();
}

absl::Status Backing::Allocate(uint64_t size, uint64_t offset) const {
  if (shared_ && page_size() > k4KiB) {
    // A mapping sets pages of the pool aside for the file, and they stay so
    // when it goes.
    const auto reserved = MappedRegion::Map(size, PROT_READ | PROT_WRITE,
                                            MAP_SHARED, fd_.get(), offset);
    return reserved.ok() ? absl::OkStatus() : MapError(ENOMEM, size);
  }
  if (options_.kind != BackingKind::kFile || !shared_) return absl::OkStatus();
  if (::fallocate(fd_.get(), 0, static_cast<off_t>(offset),
                  static_cast<off_t>(size)) == 0 ||
      errno == EOPNOTSUPP) {
    return absl::OkStatus();
  }
  return PosixError(errno, absl::StrCat(flag_, " file=", options_.file,
                                        ": allocate ", size >> 20, " MiB"));
}

absl::Status Backing::Discard(std::byte* host, uint64_t size,
                              uint64_t offset) const {
  int result = 0;
  if (shared_) {
    result = ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         static_cast<off_t>(offset), static_cast<off_t>(size));
  }
  // Also of a file: what the kernel put into the page tables for a page that it
  // has lost outlives the page.
  if (result == 0) result = ::madvise(host, size, MADV_DONTNEED);
  if (result == 0) return absl::OkStatus();
  return PosixError(errno, absl::StrCat(flag_, ": give ", size >> 20,
                                        " MiB back to the host"));
}

absl::StatusOr<uint64_t> Backing::DiscardWithin(const iovec& range) const {
  const uint64_t page = std::max(page_size(), HostPageSize());
  const auto start = reinterpret_cast<uintptr_t>(range.iov_base);
  const uintptr_t first = (start + page - 1) / page * page;
  const uintptr_t end = (start + range.iov_len) / page * page;
  if (first >= end) return 0;
  auto* const host = static_cast<std::byte*>(range.iov_base) + (first - start);
  const int advice = shared_ ? MADV_REMOVE : MADV_DONTNEED;
  if (::madvise(host, end - first, advice) == 0) return end - first;
  return PosixError(errno, "give guest memory back to the host");
}

absl::Status Backing::Populate(std::byte* host, uint64_t size) const {
  const uint64_t cpus = std::max(1u, std::thread::hardware_concurrency());
  const uint64_t count = std::clamp<uint64_t>(size / kLeastPerThread, 1,
                                              std::min(cpus, kMostThreads));
  // Whole huge pages each; the first part, on this thread, takes the rest.
  const uint64_t unit = std::max(k2MiB, page_size());
  const uint64_t share = size / count / unit * unit;
  const uint64_t first = size - share * (count - 1);
  std::vector<Part> parts{{.host = host, .size = first}};
  for (uint64_t i = 1; i < count; ++i) {
    parts.push_back({.host = host + first + share * (i - 1), .size = share});
  }
  PopulateAll(parts);
  for (const Part& part : parts) {
    if (part.error == EINVAL) {
      return HostLacks(absl::StrCat(
          flag_, ": prealloc needs MADV_POPULATE_WRITE, Linux 5.14"));
    }
    if (part.error != 0) {
      return OsRefused(part.error,
                       absl::StrCat(flag_, ": prealloc of ", size >> 20,
                                    " MiB; the host has no free "
                                    "memory for it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace kvmlet
