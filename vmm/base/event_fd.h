// SPDX-License-Identifier: Apache-2.0
// A non-blocking Linux eventfd: a counter that one side signals and the other
// side (an event loop, KVM's irqfd or ioeventfd, vhost) consumes. Signal and
// Consume may be called from any thread.
#ifndef KVMLET_VMM_BASE_EVENT_FD_H_
#define KVMLET_VMM_BASE_EVENT_FD_H_

#include "absl/status/statusor.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

class EventFd {
 public:
  static absl::StatusOr<EventFd> Create();

  int get() const { return fd_.get(); }
  void Signal() const;
  // True when it had been signalled; the counter is then zero again.
  bool Consume() const;
  // True when it is signalled; leaves the counter alone.
  bool Signalled() const;

 private:
  explicit EventFd(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_EVENT_FD_H_
