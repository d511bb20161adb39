// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/host_calls.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace kvmlet::vfio {
namespace {

template <typename Result>
Result OrErrno(Result result) {
  return result < 0 ? static_cast<Result>(-errno) : result;
}

class RealCalls : public HostCalls {
 public:
  int Open(const std::string& path) override {
    return OrErrno(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  }
  int Ioctl(int fd, unsigned long request, uintptr_t argument) override {
    return OrErrno(::ioctl(fd, request, argument));
  }
  ssize_t Read(int fd, std::span<std::byte> data, uint64_t offset) override {
    return OrErrno(
        ::pread(fd, data.data(), data.size(), static_cast<off_t>(offset)));
  }
  ssize_t Write(int fd, std::span<const std::byte> data,
                uint64_t offset) override {
    return OrErrno(
        ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset)));
  }
  int MapOver(void* at, size_t size, int protection, int fd,
              uint64_t offset) override {
    void* const got = ::mmap(at, size, protection, MAP_SHARED | MAP_FIXED, fd,
                             static_cast<off_t>(offset));
    return got == MAP_FAILED ? -errno : 0;
  }
};

}  // namespace

HostCalls& LinuxCalls() {
  static RealCalls calls;
  return calls;
}

}  // namespace kvmlet::vfio
