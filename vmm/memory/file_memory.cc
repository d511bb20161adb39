// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/file_memory.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {
namespace {

constexpr uint64_t k1GiB = 1ull << 30;

std::string Label(const FileMemoryOptions& options) {
  return absl::StrCat(options.flag, " ", options.path);
}

absl::StatusOr<UniqueFd> Open(const FileMemoryOptions& options,
                              struct stat& st) {
  // Before the open: a FIFO would wait, and a device may do things.
  if (::stat(options.path.c_str(), &st) != 0) {
    return CannotOpen(errno, Label(options));
  }
  if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
    return WithExitStatus(
        absl::InvalidArgumentError(absl::StrCat(
            Label(options), ": give a regular file or a block device")),
        ExitStatus::kCannotOpen);
  }
  const int flags = O_CLOEXEC | (options.read_only ? O_RDONLY : O_RDWR);
  UniqueFd fd(::open(options.path.c_str(), flags));
  if (fd.ok()) return fd;
  const bool writing = !options.read_only;
  return CannotOpen(
      errno,
      absl::StrCat(Label(options), writing ? ": open for writing (add ro to "
                                             "leave it as it is)"
                                           : ": open"));
}

absl::StatusOr<uint64_t> SizeOfOpen(const FileMemoryOptions& options, int fd,
                                    const struct stat& st) {
  auto size = static_cast<uint64_t>(st.st_size);
  if (S_ISBLK(st.st_mode) && ::ioctl(fd, BLKGETSIZE64, &size) != 0) {
    return CannotOpen(errno, absl::StrCat(Label(options), ": its size"));
  }
  if (size != 0 && size % FileMemory::kUnit == 0) return size;
  const uint64_t next = (size / FileMemory::kUnit + 1) * 2;
  return BadInput(absl::StrCat(
      Label(options), ": has ", size,
      " bytes, which is no multiple of 2 MiB, the guest's unit for "
      "persistent memory; truncate -s ",
      next, "M makes it one"));
}

absl::Status Allocate(const FileMemoryOptions& options, int fd,
                      const struct stat& st, uint64_t size) {
  if (options.read_only || !S_ISREG(st.st_mode)) return absl::OkStatus();
  // Kept sizes tell a file without holes; a filled one needs no journal entry.
  if (static_cast<uint64_t>(st.st_blocks) * 512 >= size) {
    return absl::OkStatus();
  }
  while (::fallocate(fd, 0, 0, static_cast<off_t>(size)) != 0) {
    if (errno == EINTR) continue;
    if (errno == EOPNOTSUPP) break;  // a file system that cannot
    return OsRefused(
        errno, absl::StrCat(Label(options), ": its holes need disk blocks, ",
                            size >> 20, " MiB in all; free some space"));
  }
  return absl::OkStatus();
}

absl::Status MapError(const FileMemoryOptions& options, int error) {
  if (options.dax && (error == EOPNOTSUPP || error == EINVAL)) {
    return HostLacks(absl::StrCat(
        Label(options),
        ": its file system does not map storage itself; mount it with -o "
        "dax on persistent memory, or leave dax out"));
  }
  return OsRefused(error, absl::StrCat(Label(options), ": map"));
}

}  // namespace

absl::StatusOr<uint64_t> FileMemory::SizeOf(const FileMemoryOptions& options) {
  struct stat st {};
  KVMLET_ASSIGN_OR_RETURN(const UniqueFd fd, Open(options, st));
  return SizeOfOpen(options, fd.get(), st);
}

uint64_t FileMemory::AlignmentFor(uint64_t size) {
  return size >= k1GiB ? k1GiB : kUnit;
}

absl::StatusOr<std::unique_ptr<FileMemory>> FileMemory::Map(
    const FileMemoryOptions& options, Gpa base, uint64_t size) {
  struct stat st {};
  KVMLET_ASSIGN_OR_RETURN(const UniqueFd fd, Open(options, st));
  KVMLET_ASSIGN_OR_RETURN(const uint64_t now,
                          SizeOfOpen(options, fd.get(), st));
  if (now != size) {
    return BadInput(absl::StrCat(Label(options), ": its size has changed from ",
                                 size, " to ", now, " bytes meanwhile"));
  }
  KVMLET_RETURN_IF_ERROR(Allocate(options, fd.get(), st, size));
  KVMLET_ASSIGN_OR_RETURN(MappedRegion mapping,
                          MappedRegion::Reserve(size, AlignmentFor(size)));
  int flags = MAP_FIXED;
  if (options.read_only) {
    flags |= MAP_PRIVATE | MAP_NORESERVE;
  } else {
    // MAP_SYNC is refused where the mapping is not the storage itself.
    flags |= options.dax ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;
  }
  if (::mmap(mapping.data(), size, PROT_READ | PROT_WRITE, flags, fd.get(),
             0) == MAP_FAILED) {
    return MapError(options, errno);
  }
  // Advice only.
  ::madvise(mapping.data(), size, MADV_HUGEPAGE);
  ::madvise(mapping.data(), size, MADV_DONTDUMP);
  const RamRegion region{base, size, mapping.data(), 0};
  return std::unique_ptr<FileMemory>(
      new FileMemory(std::move(mapping), region));
}

}  // namespace kvmlet
