// SPDX-License-Identifier: Apache-2.0
#include "vmm/event/event_loop.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <condition_variable>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

// epoll hands back 64 bits: the fd and the generation of its registration, so
// that an event for a removed fd is not taken for its successor's.
uint64_t Key(int fd, uint64_t generation) {
  return (generation << 32) | static_cast<uint32_t>(fd);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.ok()) return OsRefused(errno, "epoll_create1");
  KVMLET_ASSIGN_OR_RETURN(EventFd wake, EventFd::Create());
  epoll_event event{.events = EPOLLIN, .data = {.u64 = Key(wake.get(), 0)}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return OsRefused(errno, "epoll_ctl");
  }
  return std::unique_ptr<EventLoop>(
      new EventLoop(std::move(epoll), std::move(wake)));
}

absl::Status EventLoop::Add(int fd, uint32_t epoll_events, Callback callback) {
  const uint32_t generation = next_generation_++;
  epoll_event event{.events = epoll_events,
                    .data = {.u64 = Key(fd, generation)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return OsRefused(errno, absl::StrCat("watch file descriptor ", fd));
  }
  watches_[fd] =
      Watch{generation, std::make_shared<Callback>(std::move(callback))};
  return absl::OkStatus();
}

absl::Status EventLoop::Modify(int fd, uint32_t epoll_events) {
  const auto it = watches_.find(fd);
  if (it == watches_.end()) return absl::NotFoundError("fd is not watched");
  epoll_event event{.events = epoll_events,
                    .data = {.u64 = Key(fd, it->second.generation)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return OsRefused(errno, absl::StrCat("watch file descriptor ", fd));
  }
  return absl::OkStatus();
}

void EventLoop::Remove(int fd) {
  if (watches_.erase(fd) > 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
}

EventLoop::TimerId EventLoop::RunAfter(Clock::duration delay,
                                       std::function<void()> function) {
  const TimerId id = next_timer_++;
  timers_.emplace(std::pair(Clock::now() + delay, id), std::move(function));
  return id;
}

void EventLoop::Cancel(TimerId timer) {
  for (auto it = timers_.begin(); it != timers_.end(); ++it) {
    if (it->first.second != timer) continue;
    timers_.erase(it);
    return;
  }
}

void EventLoop::Post(std::function<void()> function) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(function));
  }
  wake_.Signal();
}

void EventLoop::RunSync(const std::function<void()>& function) {
  struct State {
    std::mutex mutex;
    std::condition_variable done;
    bool finished = false;
  };
  State state;
  if (starter_ && !OnLoopThread()) starter_();
  bool posted = false;
  {
    const std::lock_guard lock(mutex_);
    if (running_ && !OnLoopThread()) {
      posted = true;
      posted_.push_back([&state, &function] {
        function();
        const std::lock_guard inner(state.mutex);
        state.finished = true;
        state.done.notify_one();
      });
    }
  }
  if (!posted) {
    function();
    return;
  }
  wake_.Signal();
  std::unique_lock lock(state.mutex);
  state.done.wait(lock, [&state] { return state.finished; });
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> batch;
  {
    const std::lock_guard lock(mutex_);
    batch.swap(posted_);
  }
  for (const auto& function : batch) function();
}

void EventLoop::RunTimers() {
  // One look at the clock: a timer that starts itself anew waits its turn.
  const Clock::time_point now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    node.mapped()();
  }
}

int EventLoop::WaitMilliseconds() const {
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first.first - Clock::now();
  if (left <= Clock::duration::zero()) return 0;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<int64_t>(ms, 1 << 30));
}

void EventLoop::Run() {
  thread_ = std::this_thread::get_id();
  {
    const std::lock_guard lock(mutex_);
    running_ = true;
  }
  std::array<epoll_event, 32> events;
  while (!stop_.load()) {
    RunPosted();
    RunTimers();
    if (stop_.load()) break;
    const int n =
        ::epoll_wait(epoll_.get(), events.data(),
                     static_cast<int>(events.size()), WaitMilliseconds());
    if (n < 0) {
      PCHECK(errno == EINTR) << "epoll_wait";
      continue;
    }
    for (int i = 0; i < n; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      const int fd = static_cast<int>(event.data.u64 & 0xffffffff);
      const uint64_t generation = event.data.u64 >> 32;
      if (generation == 0) {
        wake_.Consume();
        continue;
      }
      const auto it = watches_.find(fd);
      if (it == watches_.end() || it->second.generation != generation) {
        continue;
      }
      const std::shared_ptr<Callback> callback = it->second.callback;
      (*callback)(event.events);
    }
  }
  {
    // From here on RunSync runs in the caller; what was posted before is run
    // below, so that nobody waits for ever.
    const std::lock_guard lock(mutex_);
    running_ = false;
  }
  RunPosted();
  thread_ = std::thread::id();
  stop_ = false;
}

void EventLoop::Stop() {
  stop_ = true;
  wake_.Signal();
}

}  // namespace kvmlet
