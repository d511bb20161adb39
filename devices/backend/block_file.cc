// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/block_file.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/backend/block_sync.h"
#include "devices/backend/block_uring.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr uint32_t kSector = 512;
constexpr uint32_t kMaxBlock = 64u << 10;

// A power of two between a sector and 64 KiB, or the fallback.
uint32_t SaneBlock(uint64_t value, uint32_t fallback) {
  const bool sane =
      std::has_single_bit(value) && value >= kSector && value <= kMaxBlock;
  return sane ? static_cast<uint32_t>(value) : fallback;
}

absl::StatusOr<struct stat> Stat(int fd, const std::string& label) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return PosixError(errno, label);
  return st;
}

}  // namespace

BlockFile::BlockFile(UniqueFd fd, const DiskOptions& options)
    : fd_(std::move(fd)),
      label_(absl::StrCat("--disk ", options.path)),
      read_only_(options.read_only),
      direct_(options.direct),
      synchronous_(options.synchronous) {}

absl::StatusOr<std::unique_ptr<BlockBackend>> BlockFile::Create(
    UniqueFd fd, const DiskOptions& options) {
  std::unique_ptr<BlockFile> file(new BlockFile(std::move(fd), options));
  KVMLET_RETURN_IF_ERROR(file->Probe());
  KVMLET_ASSIGN_OR_RETURN(file->geometry_.size, file->ReadSize());
  return file;
}

absl::Status BlockFile::Probe() {
  KVMLET_ASSIGN_OR_RETURN(const struct stat st, Stat(fd_.get(), label_));
  traits_.block_device = S_ISBLK(st.st_mode);
  geometry_.physical_block =
      SaneBlock(static_cast<uint64_t>(st.st_blksize), 4096);
  if (traits_.block_device) ProbeBlockDevice();
  if (direct_) ProbeDirect();
  geometry_.physical_block =
      std::max(geometry_.physical_block, geometry_.logical_block);
  return absl::OkStatus();
}

void BlockFile::ProbeBlockDevice() {
  int logical = 0;
  unsigned physical = 0;
  unsigned minimum = 0;
  unsigned optimal = 0;
  if (::ioctl(fd_.get(), BLKSSZGET, &logical) == 0 && logical > 0) {
    geometry_.logical_block = SaneBlock(static_cast<uint64_t>(logical), 512);
  }
  ::ioctl(fd_.get(), BLKPBSZGET, &physical);
  ::ioctl(fd_.get(), BLKIOMIN, &minimum);
  ::ioctl(fd_.get(), BLKIOOPT, &optimal);
  geometry_.physical_block = SaneBlock(physical, geometry_.logical_block);
  geometry_.minimum_io = minimum;
  geometry_.optimal_io = optimal;
}

// Linux 6.1 tells the alignments of O_DIRECT; before it a page is safe for
// every file system, and a device's logical block for the device.
void BlockFile::ProbeDirect() {
  uint32_t memory = traits_.block_device ? geometry_.logical_block : 4096;
  uint32_t offset = memory;
  struct statx stx {};
  if (::statx(fd_.get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
      (stx.stx_mask & STATX_DIOALIGN) != 0 && stx.stx_dio_offset_align != 0) {
    memory = std::max(stx.stx_dio_mem_align, 1u);
    offset = SaneBlock(stx.stx_dio_offset_align, 4096);
  }
  traits_.memory_alignment = memory;
  traits_.offset_alignment = offset;
  geometry_.alignment = offset;
  geometry_.logical_block = std::max(geometry_.logical_block, offset);
}

absl::StatusOr<uint64_t> BlockFile::ReadSize() const {
  uint64_t size = 0;
  if (traits_.block_device) {
    if (::ioctl(fd_.get(), BLKGETSIZE64, &size) != 0) {
      return PosixError(errno, absl::StrCat(label_, ": read its size"));
    }
  } else {
    KVMLET_ASSIGN_OR_RETURN(const struct stat st, Stat(fd_.get(), label_));
    size = static_cast<uint64_t>(st.st_size);
  }
  if (size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        label_, ": is empty; give it a size, for example truncate -s 1G"));
  }
  if (size % kSector != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        label_, ": its ", size,
        " bytes are not a multiple of 512; pad it with truncate -s %512"));
  }
  if (size % geometry_.alignment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(label_, ": its ", size, " bytes are not a multiple of ",
                     geometry_.alignment,
                     ", which direct needs; pad it with "
                     "truncate -s %",
                     geometry_.alignment, ", or leave direct out"));
  }
  return size;
}

absl::StatusOr<std::unique_ptr<BlockQueue>> BlockFile::NewQueue(
    uint16_t depth) {
  const BlockSteps steps(traits_);
  if (!synchronous_.load()) {
    auto queue = UringBlockQueue::Create(fd_.get(), steps, depth);
    if (queue.ok()) return queue;
    if (!synchronous_.exchange(true)) {
      LOG(WARNING) << label_ << ": no io_uring (" << queue.status().message()
                   << "); using preadv and pwritev, which is slower";
    }
  }
  return std::make_unique<SyncBlockQueue>(fd_.get(), steps);
}

}  // namespace kvmlet
