// SPDX-License-Identifier: Apache-2.0
#include "vmm/core/memory_copier.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr uint64_t kPage = 4096;

}  // namespace

absl::StatusOr<MemoryCopier> MemoryCopier::Create() {
  UniqueFd fd(::memfd_create("core-buffer", MFD_CLOEXEC));
  if (!fd.ok()) return PosixError(errno, "memfd_create");
  if (::ftruncate(fd.get(), kMost) != 0) return PosixError(errno, "ftruncate");
  KVMLET_ASSIGN_OR_RETURN(MappedRegion buffer,
                          MappedRegion::Map(kMost, PROT_READ | PROT_WRITE,
                                            MAP_SHARED, fd.get(), 0));
  return MemoryCopier(std::move(fd), std::move(buffer));
}

std::span<std::byte> MemoryCopier::Copy(const std::byte* from,
                                        uint64_t size) const {
  size = std::min(size, kMost);
  uint64_t done = 0;
  // Whole at first; where a system copies all or nothing, a page at a time.
  uint64_t step = size;
  while (done < size) {
    const ssize_t n =
        ::pwrite(fd_.get(), from + done, std::min(step, size - done),
                 static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 && step > kPage) {
      step = kPage;
      continue;
    }
    if (n <= 0) break;
    done += static_cast<uint64_t>(n);
  }
  return buffer_.bytes().first(done);
}

}  // namespace kvmlet
