// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvm_fd.h"

#include <sys/ioctl.h>

#include <cerrno>

#include "vmm/base/exit_status.h"

namespace kvmlet {

absl::StatusOr<int> KvmFd::Ioctl(unsigned long request, const char* name,
                                 void* argument) const {
  int result = 0;
  do {
    result = ::ioctl(fd_.get(), request, argument);
  } while (result < 0 && errno == EINTR);
  if (result < 0) return OsRefused(errno, name);
  return result;
}

absl::StatusOr<int> KvmFd::Call(const KvmCall& what,
                                unsigned long value) const {
  int result = 0;
  do {
    result = ::ioctl(fd_.get(), what.request, value);
  } while (result < 0 && errno == EINTR);
  if (result < 0) return OsRefused(errno, what.name);
  return result;
}

}  // namespace kvmlet
