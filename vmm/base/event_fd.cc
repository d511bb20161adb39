// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/event_fd.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "vmm/base/exit_status.h"

namespace kvmlet {

absl::StatusOr<EventFd> EventFd::Create() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.ok()) return OsRefused(errno, "eventfd");
  return EventFd(std::move(fd));
}

void EventFd::Signal() const {
  const uint64_t one = 1;
  // EAGAIN means that the counter is full: it is signalled already.
  while (::write(fd_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

bool EventFd::Consume() const {
  uint64_t count = 0;
  ssize_t n = 0;
  do {
    n = ::read(fd_.get(), &count, sizeof(count));
  } while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(sizeof(count));
}

bool EventFd::Signalled() const {
  pollfd p{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

}  // namespace kvmlet
