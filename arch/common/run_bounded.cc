// SPDX-License-Identifier: Apache-2.0
#include "arch/common/run_bounded.h"

#include <pthread.h>
#include <signal.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

namespace kvmlet::arch {
namespace {

using std::chrono::steady_clock;

// Makes the thread that built it leave KVM_RUN when the time is over. The
// request alone is seen on entry only; the signal ends a run that lasts.
class Watchdog {
 public:
  Watchdog(const KvmVcpu& vcpu, std::chrono::milliseconds budget) {
    struct sigaction wake = {};
    wake.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &wake, &before_);
    thread_ = std::jthread(
        [this, &vcpu, budget, runner = ::pthread_self()](std::stop_token stop) {
          std::unique_lock lock(mutex_);
          ended_.wait_for(lock, stop, budget, [] { return false; });
          if (stop.stop_requested()) return;
          vcpu.RequestExit();
          ::pthread_kill(runner, SIGALRM);
        });
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() {
    thread_.request_stop();
    thread_.join();
    ::sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  struct sigaction before_ = {};
  std::mutex mutex_;
  std::condition_variable_any ended_;
  std::jthread thread_;
};

}  // namespace

BoundedRun RunBounded(const KvmVcpu& vcpu, std::chrono::milliseconds budget) {
  const Watchdog watchdog(vcpu, budget);
  const steady_clock::time_point start = steady_clock::now();
  BoundedRun run{.error = EINTR, .took = {}};
  // A signal of somebody else's is no reason to stop.
  while (run.error == EINTR && steady_clock::now() - start < budget) {
    run.error = vcpu.Run();
  }
  run.took = steady_clock::now() - start;
  return run;
}

}  // namespace kvmlet::arch
