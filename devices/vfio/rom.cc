// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/rom.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unique_fd.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::vfio {
namespace {

// Section 6.2.5.2: eleven bits of the register are no address, and no ROM has
// more than 16 MiB.
constexpr uint64_t kLeast = 2048;
constexpr uint64_t kMost = 16 << 20;
constexpr size_t kPiece = 4096;

absl::StatusOr<std::vector<std::byte>> ReadFile(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat facts {};
  if (!fd.ok() || ::fstat(fd.get(), &facts) != 0) {
    return CannotOpen(errno, absl::StrCat("romfile=", path));
  }
  const auto size = static_cast<uint64_t>(facts.st_size);
  if (!S_ISREG(facts.st_mode) || size == 0 || size > kMost) {
    return BadInput(absl::StrCat(
        "romfile=", path, ": a ROM is a file of 1 byte to 16 MiB; rom=off is ",
        "for none"));
  }
  std::vector<std::byte> bytes(size);
  const ssize_t got = ::pread(fd.get(), bytes.data(), bytes.size(), 0);
  if (got != static_cast<ssize_t>(size)) {
    return CannotOpen(got < 0 ? errno : EIO, absl::StrCat("romfile=", path));
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Rom>> Rom::Create(const HostDevice& device,
                                                 const RomSource& source) {
  if (!source.shown) return nullptr;
  std::vector<std::byte> bytes;
  uint64_t size = device.region(kRomRegion).size;
  if (!source.file.empty()) {
    KVMLET_ASSIGN_OR_RETURN(bytes, ReadFile(source.file));
    size = bytes.size();
  }
  // What is no ROM that PCI allows is left out: no guest needs one to boot.
  if (size == 0 || size > kMost) return nullptr;
  size = std::max(std::bit_ceil(size), kLeast);
  return std::unique_ptr<Rom>(new Rom(size, std::move(bytes)));
}

// A guest reads all of it, four bytes at a time; the host maps it anew for
// each access.
void Rom::Read(const HostDevice& device, uint64_t offset,
               std::span<std::byte> data) {
  const std::lock_guard lock(mutex_);
  if (!read_) {
    bytes_.resize(std::min(size_, device.region(kRomRegion).size));
    for (size_t at = 0; at < bytes_.size(); at += kPiece) {
      const size_t size = std::min(kPiece, bytes_.size() - at);
      device.ReadRegion(kRomRegion, at, std::span(bytes_).subspan(at, size));
    }
    read_ = true;
  }
  FillOnes(data);
  if (offset >= bytes_.size()) return;
  const auto from = std::span(bytes_).subspan(offset);
  std::ranges::copy(from.first(std::min(from.size(), data.size())),
                    data.begin());
}

}  // namespace kvmlet::vfio
