// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/event_stream.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_format.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/parse.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr std::string_view kDescriptor = "fd:";
constexpr std::chrono::milliseconds kLastWords{200};

// A FIFO is opened for reading too: it then opens without a reader, keeps its
// lines until one comes, and writing never raises SIGPIPE.
absl::StatusOr<UniqueFd> OpenPath(const std::string& path) {
  struct stat info {};
  const bool is_fifo =
      ::stat(path.c_str(), &info) == 0 && S_ISFIFO(info.st_mode);
  const int access = is_fifo ? O_RDWR : O_WRONLY | O_CREAT | O_APPEND;
  UniqueFd fd(
      ::open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644));
  if (!fd.ok()) {
    return PosixError(errno, absl::StrFormat("--events: open %s", path));
  }
  return fd;
}

// O_NONBLOCK belongs to the open file, which is shared with whoever gave it to
// us: pipes and terminals are opened anew, sockets have a flag per call, and
// regular files do not wait.
absl::StatusOr<UniqueFd> OpenDescriptor(int number) {
  struct stat info {};
  if (::fstat(number, &info) != 0) {
    return PosixError(errno, absl::StrFormat("--events: fd:%d", number));
  }
  const bool is_pipe = S_ISFIFO(info.st_mode);
  const int flags = ::fcntl(number, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
    return UsageError(
        absl::StrFormat("--events: fd:%d is not open for writing", number));
  }
  UniqueFd fd;
  if (is_pipe || S_ISCHR(info.st_mode)) {
    const int access = is_pipe ? O_RDWR : O_WRONLY;
    const std::string path = absl::StrFormat("/proc/self/fd/%d", number);
    fd.Reset(::open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  } else {
    fd.Reset(::fcntl(number, F_DUPFD_CLOEXEC, 3));
  }
  if (!fd.ok()) {
    return PosixError(errno, absl::StrFormat("--events: open fd:%d", number));
  }
  // The standard streams stay where they are.
  if (number > STDERR_FILENO) ::close(number);
  return fd;
}

absl::StatusOr<UniqueFd> Open(const std::string& target) {
  if (!target.starts_with(kDescriptor)) return OpenPath(target);
  KVMLET_ASSIGN_OR_RETURN(
      const uint64_t number,
      ParseNumber("--events fd:", target.substr(kDescriptor.size()), 0,
                  1 << 20));
  return OpenDescriptor(static_cast<int>(number));
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventStream>> EventStream::Create(
    EventLoop& loop, const std::string& target) {
  KVMLET_ASSIGN_OR_RETURN(UniqueFd fd, Open(target));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) {
    return PosixError(errno, absl::StrFormat("--events: %s", target));
  }
  return std::unique_ptr<EventStream>(
      new EventStream(loop, std::move(fd), S_ISSOCK(info.st_mode)));
}

EventStream::~EventStream() {
  Watch(false);
  Drain();
}

void EventStream::OnEvent(const Event& event) {
  Flush();
  if (dropped_untold_ > 0 && fd_.ok()) {
    const uint64_t before = dropped_untold_;
    Queue(Event{.name = "__org.kvmlet_EVENTS_LOST",
                .data = {{"count", before}},
                .time = event.time});
    // That line was not an event: it is only tried again.
    if (dropped_untold_ > before) {
      --dropped_;
      dropped_untold_ = before;
    } else {
      dropped_untold_ = 0;
    }
  }
  Queue(event);
  Flush();
}

void EventStream::Queue(const Event& event) {
  const std::string line = DumpJson(event.ToJson()) + "\n";
  if (!fd_.ok() || line.size() > kMaxQueued - queue_.size()) {
    ++dropped_;
    ++dropped_untold_;
    return;
  }
  queue_ += line;
}

void EventStream::Flush() {
  size_t sent = 0;
  int error = 0;
  while (fd_.ok() && sent < queue_.size()) {
    const char* data = queue_.data() + sent;
    const size_t size = queue_.size() - sent;
    const ssize_t n =
        is_socket_ ? ::send(fd_.get(), data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                   : ::write(fd_.get(), data, size);
    if (n >= 0) {
      sent += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      error = errno;
      break;
    }
  }
  queue_.erase(0, sent);
  if (error != 0 && error != EAGAIN) Fail(error);
  Watch(!queue_.empty());
}

void EventStream::Watch(bool wanted) {
  if (wanted == watched_) return;
  watched_ = wanted;
  if (!wanted) {
    loop_.Remove(fd_.get());
    return;
  }
  const absl::Status status =
      loop_.Add(fd_.get(), EPOLLOUT, [this](uint32_t) { Flush(); });
  // Without the loop's help the queue moves with the next event.
  if (!status.ok()) watched_ = false;
}

void EventStream::Fail(int error) {
  LOG(WARNING) << PosixError(error, "--events: write").message()
               << "; no more events are written";
  Watch(false);
  queue_.clear();
  fd_.Reset();
}

void EventStream::Drain() {
  const auto deadline = std::chrono::steady_clock::now() + kLastWords;
  Flush();
  Watch(false);
  while (fd_.ok() && !queue_.empty()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    pollfd waiting{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) break;
    Flush();
    Watch(false);
  }
}

}  // namespace kvmlet
