// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/bus_errors.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "vmm/base/posix_error.h"

namespace kvmlet {
namespace bus_errors_internal {

constinit thread_local sigjmp_buf* guard = nullptr;
constinit thread_local std::optional<BusError>* guest = nullptr;

}  // namespace bus_errors_internal

namespace {

// Errors on their way from the handler, which may run on several threads at a
// time and may not wait: a place is taken, filled, and only then shown.
class Queue {
 public:
  void Push(const BusError& error) {
    for (Place& place : places_) {
      int expected = kFree;
      if (!place.state.compare_exchange_strong(expected, kTaken)) continue;
      place.error = error;
      place.state = kFull;
      return;
    }
  }
  std::optional<BusError> Pop() {
    for (Place& place : places_) {
      if (place.state != kFull) continue;
      const BusError error = place.error;
      place.state = kFree;
      return error;
    }
    return std::nullopt;
  }

 private:
  enum State : int { kFree, kTaken, kFull };
  struct Place {
    std::atomic<int> state{kFree};
    BusError error;
  };
  std::array<Place, 64> places_;
};
static_assert(std::atomic<int>::is_always_lock_free);

constinit Queue queue;                   // NOLINT: a handler has no context
constinit std::atomic<int> wake_fd{-1};  // NOLINT
struct sigaction before {};              // NOLINT

void Enqueue(const BusError& error) {
  queue.Push(error);
  const uint64_t one = 1;
  // Full means that the loop is already told.
  [[maybe_unused]] const ssize_t n = ::write(wake_fd.load(), &one, sizeof(one));
}

// As if there were no handler here.
void GiveUp(bool lost) {
  constexpr std::string_view kText =
      "kvmlet: the host has lost memory of kvmlet's own\n";
  if (lost) {
    [[maybe_unused]] const ssize_t n =
        ::write(STDERR_FILENO, kText.data(), kText.size());
  }
  ::sigaction(SIGBUS, &before, nullptr);
  ::raise(SIGBUS);
}

void OnBusError(int /*signal*/, siginfo_t* info, void* /*context*/) {
  using bus_errors_internal::guard;
  using bus_errors_internal::guest;
  const int saved = errno;
  const bool required = info->si_code == BUS_MCEERR_AR;
  if (!required && info->si_code != BUS_MCEERR_AO) {
    // A file that was cut short is one: an access of the monitor's own fails.
    if (info->si_code > 0 && guard != nullptr) siglongjmp(*guard, 1);
    return GiveUp(false);
  }
  const auto bits = static_cast<unsigned>(info->si_addr_lsb);
  const BusError error{.at = static_cast<const std::byte*>(info->si_addr),
                       .size = 1ull << (bits < 48 ? bits : 12u),
                       .action_required = required};
  if (!required) {
    Enqueue(error);
  } else if (guard != nullptr) {
    // The access fails, and the guest hears of the page all the same.
    Enqueue({.at = error.at, .size = error.size, .action_required = false});
    errno = saved;
    siglongjmp(*guard, 1);
  } else if (guest != nullptr) {
    *guest = error;
  } else {
    GiveUp(true);
  }
  errno = saved;
}

}  // namespace

absl::Status BusErrors::Install(int event_fd) {
  wake_fd = event_fd;
  struct sigaction action {};
  action.sa_sigaction = OnBusError;
  // A guard leaves the handler by a jump, which keeps the mask as it is.
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
  sigemptyset(&action.sa_mask);
  if (::sigaction(SIGBUS, &action, &before) != 0) {
    return PosixError(errno, "sigaction of SIGBUS");
  }
  // Whoever started us may have it blocked, and threads inherit that.
  sigset_t bus;
  sigemptyset(&bus);
  sigaddset(&bus, SIGBUS);
  ::pthread_sigmask(SIG_UNBLOCK, &bus, nullptr);
  // Errors that nobody has met yet, too: the guest may get its data away. A
  // kernel without memory errors refuses, and then there are none.
  ::prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
  return absl::OkStatus();
}

void BusErrors::Uninstall() {
  ::sigaction(SIGBUS, &before, nullptr);
  wake_fd = -1;
  while (Take()) continue;
}

std::optional<BusError> BusErrors::Take() { return queue.Pop(); }

}  // namespace kvmlet
