// SPDX-License-Identifier: Apache-2.0
// The system calls that passthrough makes on VFIO's files, as an interface: a
// test answers for a kernel of its own. LinuxCalls() is the real one.
//
// Threads: any. Results are those of the system call, or -errno.
// Specification: Linux, Documentation/driver-api/vfio.rst.
#ifndef KVMLET_DEVICES_VFIO_HOST_CALLS_H_
#define KVMLET_DEVICES_VFIO_HOST_CALLS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace kvmlet::vfio {

class HostCalls {
 public:
  virtual ~HostCalls() = default;

  // For reading and writing, close-on-exec.
  virtual int Open(const std::string& path) = 0;
  virtual int Ioctl(int fd, unsigned long request, uintptr_t argument) = 0;
  virtual ssize_t Read(int fd, std::span<std::byte> data, uint64_t offset) = 0;
  virtual ssize_t Write(int fd, std::span<const std::byte> data,
                        uint64_t offset) = 0;
  // Shared, over what is mapped at `at`.
  virtual int MapOver(void* at, size_t size, int protection, int fd,
                      uint64_t offset) = 0;

  template <typename T>
  int Exchange(int fd, unsigned long request, T& argument) {
    return Ioctl(fd, request, reinterpret_cast<uintptr_t>(&argument));
  }
};

HostCalls& LinuxCalls();

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_HOST_CALLS_H_
