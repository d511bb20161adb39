// SPDX-License-Identifier: Apache-2.0
// Opens what --disk names, with an error for every way in which that can be
// wrong.
#include <fcntl.h>
#include <glog/logging.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/backend/block_backend.h"
#include "devices/backend/block_file.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {
namespace {

// Before the open: opening a FIFO would wait, and a device node may do things
// when it is opened.
absl::Status CheckKind(const struct stat& st, const std::string& label) {
  if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      label, S_ISDIR(st.st_mode) ? ": is a directory" : ": is no disk",
      "; give a raw image file or a block device"));
}

absl::Status OpenError(int error, const DiskOptions& options,
                       const std::string& label) {
  if (error == EBUSY) {
    return absl::FailedPreconditionError(absl::StrCat(
        label,
        ": in use by the host or another process (unmount it, or add "
        "ro to share it)"));
  }
  if (error == EINVAL && options.direct) {
    return absl::InvalidArgumentError(absl::StrCat(
        label, ": its file system has no O_DIRECT; leave direct out"));
  }
  const bool writing = !options.read_only;
  if (writing && (error == EACCES || error == EPERM || error == EROFS)) {
    return PosixError(error, absl::StrCat(label,
                                          ": open for writing (add ro "
                                          "to only read it)"));
  }
  return PosixError(error, label);
}

// An open file description lock, so that two guests never write one image. It
// goes with the descriptor.
absl::Status Lock(int fd, bool read_only, const std::string& label) {
  struct flock lock {};
  lock.l_type = static_cast<short>(read_only ? F_RDLCK : F_WRLCK);
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return absl::OkStatus();
  if (errno == EAGAIN || errno == EACCES) {
    return absl::FailedPreconditionError(
        absl::StrCat(label, ": in use by another process",
                     read_only ? " that writes it" : " (add ro to share it)"));
  }
  PLOG(WARNING) << label << ": cannot be locked against other writers";
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenAndLock(const DiskOptions& options,
                                     const std::string& label) {
  struct stat st {};
  if (::stat(options.path.c_str(), &st) != 0) return PosixError(errno, label);
  KVMLET_RETURN_IF_ERROR(CheckKind(st, label));
  int flags = O_CLOEXEC | (options.read_only ? O_RDONLY : O_RDWR);
  if (options.direct) flags |= O_DIRECT;
  // On a block device: fails when it is mounted or somebody else claimed it.
  if (S_ISBLK(st.st_mode) && !options.read_only) flags |= O_EXCL;
  UniqueFd fd(::open(options.path.c_str(), flags));
  if (!fd.ok()) return OpenError(errno, options, label);
  if (::fstat(fd.get(), &st) != 0) return PosixError(errno, label);
  KVMLET_RETURN_IF_ERROR(CheckKind(st, label));
  if (S_ISREG(st.st_mode)) {
    KVMLET_RETURN_IF_ERROR(Lock(fd.get(), options.read_only, label));
  } else if (int locked = 0; !options.read_only &&
                             ::ioctl(fd.get(), BLKROGET, &locked) == 0 &&
                             locked != 0) {
    return OpenError(EROFS, options, label);
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockBackend>> OpenDisk(
    const DiskOptions& options) {
  auto fd = OpenAndLock(options, absl::StrCat(options.flag, " ", options.path));
  if (!fd.ok()) return WithExitStatus(fd.status(), ExitStatus::kCannotOpen);
  return BlockFile::Create(*std::move(fd), options);
}

}  // namespace kvmlet
