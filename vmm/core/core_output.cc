// SPDX-License-Identifier: Apache-2.0
#include "vmm/core/core_output.h"

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

namespace kvmlet {
namespace {

std::string What(const std::string& path) {
  return absl::StrCat("dump ", path);
}

}  // namespace

absl::StatusOr<CoreOutput> CoreOutput::Create(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        What(path), ": not a regular file; name one, or a new one"));
  }
  std::error_code missing;
  const std::filesystem::path resolved =
      std::filesystem::canonical(path, missing);
  std::string target = missing ? path : resolved.string();
  std::string temporary = absl::StrCat(target, ".", ::getpid(), ".tmp");
  ::unlink(temporary.c_str());
  // The guest's secrets are in it.
  UniqueFd fd(
      ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.ok()) return PosixError(errno, What(path));
  return CoreOutput(path, std::move(target), std::move(temporary),
                    std::move(fd));
}

CoreOutput::CoreOutput(CoreOutput&& other) noexcept
    : path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)) {}

CoreOutput::~CoreOutput() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

absl::Status CoreOutput::Error(int error_number) const {
  return PosixError(error_number, What(path_));
}

absl::Status CoreOutput::WriteAt(uint64_t offset,
                                 std::span<const std::byte> data) const {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd_.get(), data.data(), data.size(),
                               static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error(errno);
    offset += static_cast<uint64_t>(n);
    data = data.subspan(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status CoreOutput::Finish(uint64_t size) {
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    return Error(errno);
  }
  // A file system that tells of its errors late has the older file until then.
  if (::fsync(fd_.get()) != 0) return Error(errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) return Error(errno);
  temporary_.clear();
  return absl::OkStatus();
}

}  // namespace kvmlet
