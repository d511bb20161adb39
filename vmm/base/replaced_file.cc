// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/replaced_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {

absl::StatusOr<ReplacedFile> ReplacedFile::Create(const std::string& path,
                                                  mode_t mode,
                                                  const std::string& what) {
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": not a regular file; name one, or a new one"));
  }
  std::error_code missing;
  const std::filesystem::path resolved =
      std::filesystem::canonical(path, missing);
  std::string target = missing ? path : resolved.string();
  std::string temporary = absl::StrCat(target, ".", ::getpid(), ".tmp");
  // A file of ours: what somebody else has put there may be open to others.
  ::unlink(temporary.c_str());
  UniqueFd fd(
      ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd.ok()) return PosixError(errno, what);
  return ReplacedFile(what, std::move(target), std::move(temporary),
                      std::move(fd));
}

ReplacedFile::ReplacedFile(ReplacedFile&& other) noexcept
    : what_(std::move(other.what_)),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)) {}

ReplacedFile::~ReplacedFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

absl::Status ReplacedFile::Check(int result) const {
  return result == 0 ? absl::OkStatus() : PosixError(errno, what_);
}

absl::Status ReplacedFile::WriteAt(uint64_t offset,
                                   std::span<const std::byte> data) const {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd_.get(), data.data(), data.size(),
                               static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return PosixError(errno, what_);
    offset += static_cast<uint64_t>(n);
    data = data.subspan(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status ReplacedFile::SetSize(uint64_t size) const {
  return Check(::ftruncate(fd_.get(), static_cast<off_t>(size)));
}

absl::Status ReplacedFile::Sync() const { return Check(::fsync(fd_.get())); }

absl::Status ReplacedFile::Finish() {
  KVMLET_RETURN_IF_ERROR(Check(::rename(temporary_.c_str(), target_.c_str())));
  temporary_.clear();
  return absl::OkStatus();
}

absl::Status ReplaceFile(const std::string& path, mode_t mode,
                         std::string_view text, const std::string& what) {
  KVMLET_ASSIGN_OR_RETURN(ReplacedFile file,
                          ReplacedFile::Create(path, mode, what));
  KVMLET_RETURN_IF_ERROR(file.WriteAt(0, std::as_bytes(std::span(text))));
  return file.Finish();
}

}  // namespace kvmlet
