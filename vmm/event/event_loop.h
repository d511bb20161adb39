// SPDX-License-Identifier: Apache-2.0
// An epoll loop: callbacks for file descriptors, posted functions and timers,
// all run on the thread that called Run().
//
// Threads: Add, Modify, Remove, RunAfter and Cancel on the loop's own thread,
// or on any thread while the loop does not run (before Run). Post, RunSync and
// Stop from any thread. A callback may remove itself or others.
#ifndef KVMLET_VMM_EVENT_EVENT_LOOP_H_
#define KVMLET_VMM_EVENT_EVENT_LOOP_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/event_fd.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

class EventLoop {
 public:
  using Callback = std::function<void(uint32_t epoll_events)>;
  using Clock = std::chrono::steady_clock;
  using TimerId = uint64_t;

  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();

  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // `epoll_events` is EPOLLIN, EPOLLOUT, EPOLLET...; the fd stays the caller's.
  absl::Status Add(int fd, uint32_t epoll_events, Callback callback);
  absl::Status Modify(int fd, uint32_t epoll_events);
  void Remove(int fd);

  TimerId RunAfter(Clock::duration delay, std::function<void()> function);
  void Cancel(TimerId timer);

  // Runs the function on the loop's thread, later.
  void Post(std::function<void()> function);
  // Runs the function on the loop's thread and waits for it; at once when
  // called on that thread or when the loop does not run. Starts the thread
  // first when there is a starter.
  void RunSync(const std::function<void()>& function);
  // Called by RunSync from other threads; makes the loop run if it can. Set
  // before other threads know the loop.
  void SetStarter(std::function<void()> starter) {
    starter_ = std::move(starter);
  }

  // Dispatches until Stop(). Functions posted before Stop are still run.
  void Run();
  void Stop();
  bool OnLoopThread() const {
    return thread_.load() == std::this_thread::get_id();
  }

 private:
  struct Watch {
    uint64_t generation;
    std::shared_ptr<Callback> callback;
  };
  EventLoop(UniqueFd epoll, EventFd wake)
      : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  void RunPosted();
  void RunTimers();
  int WaitMilliseconds() const;

  UniqueFd epoll_;
  EventFd wake_;
  std::function<void()> starter_;
  uint32_t next_generation_ = 1;
  std::unordered_map<int, Watch> watches_;
  TimerId next_timer_ = 1;
  std::map<std::pair<Clock::time_point, TimerId>, std::function<void()>>
      timers_;
  std::atomic<std::thread::id> thread_{};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  bool running_ = false;                       // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_EVENT_EVENT_LOOP_H_
