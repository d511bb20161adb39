// SPDX-License-Identifier: Apache-2.0
// The process's handler of SIGBUS, for memory that the host has lost: an access
// under a guard fails, a vCPU in the guest learns of its error, and the rest
// waits in a queue for the main loop. An error of the monitor's own memory, or
// a SIGBUS of another kind, goes to the handler that was there before, after
// one line to standard error.
//
// Threads: Install and Take on the main loop's thread; guards and GuestEntry on
// any, each its own. The handler is async-signal-safe: it takes no lock and
// allocates nothing. Units: bytes. Specification: sigaction(2), BUS_MCEERR_*;
// Documentation/mm/hwpoison.rst.
#ifndef KVMLET_VMM_MEMORY_BUS_ERRORS_H_
#define KVMLET_VMM_MEMORY_BUS_ERRORS_H_

#include <csetjmp>
#include <optional>

#include "absl/status/status.h"
#include "vmm/memory/memory_error.h"

namespace kvmlet {

class BusErrors {
 public:
  // Once a process. From then on `event_fd`, which lives as long as the
  // process's guest, is signalled when Take has something to give.
  static absl::Status Install(int event_fd);
  // The default again, for tests.
  static void Uninstall();

  // The next error that no thread has to answer for. Errors that the queue has
  // no room for are lost: whoever meets them will say so.
  static std::optional<BusError> Take();
};

namespace bus_errors_internal {

// The thread's innermost guard, null outside of all.
extern constinit thread_local sigjmp_buf* guard;
// Where an error of the guest this thread is in goes, null outside of it.
extern constinit thread_local std::optional<BusError>* guest;

}  // namespace bus_errors_internal

// Calls the function, which copies between plain bytes and owns nothing: it
// may end anywhere. False when it met lost memory.
template <typename Access>
[[nodiscard]] bool Guarded(Access access) {
  using bus_errors_internal::guard;
  sigjmp_buf here;
  sigjmp_buf* const outer = guard;
  // Without the signal mask: the handler does not change it.
  if (sigsetjmp(here, 0) != 0) {
    guard = outer;
    return false;
  }
  guard = &here;
  // The handler reads it, which the compiler cannot know.
  asm volatile("" ::: "memory");
  access();
  asm volatile("" ::: "memory");
  guard = outer;
  return true;
}

// While it lives this thread is in the guest: KVM_RUN.
class GuestEntry {
 public:
  explicit GuestEntry(std::optional<BusError>& error) {
    bus_errors_internal::guest = &error;
  }
  ~GuestEntry() { bus_errors_internal::guest = nullptr; }
  GuestEntry(const GuestEntry&) = delete;
  GuestEntry& operator=(const GuestEntry&) = delete;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_BUS_ERRORS_H_
