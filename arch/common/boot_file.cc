// SPDX-License-Identifier: Apache-2.0
#include "arch/common/boot_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "arch/common/decompress.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {

BootFile::BootFile(std::string_view flag, std::string_view path)
    : path_(path), label_(std::string(flag).append(" ").append(path_)) {}

absl::StatusOr<BootFile> BootFile::Open(std::string_view flag,
                                        const std::string& path) {
  BootFile file(flag, path);
  // O_NONBLOCK: a FIFO without a writer must not hang the start.
  file.fd_.Reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.fd_.ok()) return CannotOpen(errno, file.label_);
  struct stat st {};
  if (::fstat(file.fd_.get(), &st) != 0) {
    return CannotOpen(errno, file.label_);
  }
  if (!S_ISREG(st.st_mode)) {
    return file.Error("not a regular file; copy it into one first");
  }
  if (st.st_size == 0) return file.Error("the file is empty");
  const auto size = static_cast<size_t>(st.st_size);
  auto mapping =
      MappedRegion::Map(size, PROT_READ, MAP_PRIVATE, file.fd_.get(), 0);
  if (!mapping.ok()) return Prefixed(file.label_, mapping.status());
  file.mapping_ = *std::move(mapping);
  file.bytes_ = file.mapping_.bytes();
  return file;
}

BootFile BootFile::FromBytes(std::string_view flag, std::string_view path,
                             std::span<const std::byte> bytes) {
  BootFile file(flag, path);
  file.owned_.assign(bytes.begin(), bytes.end());
  file.bytes_ = file.owned_;
  return file;
}

absl::Status BootFile::Unpack(size_t limit) {
  const Compression compression = DetectCompression(bytes_);
  const std::string name(CompressionName(compression));
  switch (compression) {
    case Compression::kNone:
      return absl::OkStatus();
    case Compression::kBzip2:
    case Compression::kLzma:
    case Compression::kLzop:
      return Error(absl::StrCat(name,
                                "-compressed, which kvmlet does not "
                                "unpack; unpack it with ",
                                name, " -d first"));
    default:
      break;
  }
  absl::StatusOr<Unpacked> unpacked = Decompress(compression, bytes_, limit);
  if (!unpacked.ok()) {
    return Prefixed(absl::StrCat(label_, ": ", name), unpacked.status());
  }
  if (DetectCompression(unpacked->bytes()) != Compression::kNone) {
    return Error("compressed twice; unpack it once first");
  }
  bytes_ = unpacked->bytes();
  mapping_ = std::move(unpacked->region);
  owned_ = {};
  fd_.Reset();
  return absl::OkStatus();
}

absl::Status BootFile::CopyTo(const GuestMemory& memory, Gpa at,
                              uint64_t offset, uint64_t length) const {
  if (!Contains(offset, length)) {
    return Error(absl::StrCat("truncated: ", length, " bytes at offset ",
                              offset, " are needed, the file has ", size()));
  }
  std::vector<iovec> target;
  if (!memory.Iovecs(at, length, target)) {
    return Error(absl::StrCat(length, " bytes at guest address 0x",
                              absl::Hex(at.value), " are not all RAM"));
  }
  return fd_.ok() ? ReadInto(target, offset)
                  : WriteInto(memory, at, target, offset);
}

absl::Status BootFile::ReadInto(const std::vector<iovec>& target,
                                uint64_t offset) const {
  for (const iovec& part : target) {
    auto* host = static_cast<std::byte*>(part.iov_base);
    size_t done = 0;
    while (done < part.iov_len) {
      const ssize_t got = ::pread(fd_.get(), host + done, part.iov_len - done,
                                  static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return OsRefused(errno, absl::StrCat(label_, ": read"));
      if (got == 0) return Error("the file shrank while it was read");
      done += static_cast<size_t>(got);
      offset += static_cast<uint64_t>(got);
    }
  }
  return absl::OkStatus();
}

absl::Status BootFile::WriteInto(const GuestMemory& memory, Gpa at,
                                 const std::vector<iovec>& target,
                                 uint64_t offset) const {
  for (const iovec& part : target) {
    if (!memory.Write(at, bytes_.subspan(offset, part.iov_len))) {
      return absl::InternalError("guest RAM changed while it was loaded");
    }
    at = at + part.iov_len;
    offset += part.iov_len;
  }
  return absl::OkStatus();
}

absl::Status BootFile::Error(std::string_view what) const {
  return BadInput(std::string(label_).append(": ").append(what));
}

}  // namespace kvmlet::arch
