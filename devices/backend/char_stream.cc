// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/char_stream.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

namespace kvmlet {
namespace {

using std::chrono::milliseconds;

constexpr size_t kFlushSize = 512;
constexpr milliseconds kFlushDelay{2};
constexpr milliseconds kPollSlice{50};
constexpr milliseconds kAtOnce{0};
constexpr milliseconds kLastWords{1000};
constexpr milliseconds kForever = milliseconds::max();
// A pipe that polls writable takes this much without blocking.
constexpr size_t kWriteSlice = 4096;
// Output that a hurried writer leaves behind.
constexpr size_t kBufferLimit = 1 << 20;

}  // namespace

CharStream::~CharStream() {
  Flush();
  WatchInput(false);
}

void CharStream::Write(std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  const size_t room = kBufferLimit - buffer_.size();
  buffer_.append(reinterpret_cast<const char*>(data.data()),
                 std::min(room, data.size()));
  const bool line =
      std::find(data.begin(), data.end(), std::byte{'\n'}) != data.end();
  if (line || buffer_.size() >= kFlushSize) Drain(kForever);
  if (!buffer_.empty()) FlushLater(kFlushDelay);
}

void CharStream::Flush() {
  // A writer that holds the lock writes everything itself.
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (lock.owns_lock()) Drain(kAtOnce);
}

void CharStream::FlushLater(milliseconds delay) {
  if (flush_posted_.exchange(true)) return;
  loop_.Post(
      [this, delay] { loop_.RunAfter(delay, [this] { OnFlushTimer(); }); });
}

void CharStream::OnFlushTimer() {
  flush_posted_ = false;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (lock.owns_lock()) {
    Drain(kAtOnce);
    if (buffer_.empty()) return;
  }
  FlushLater(kPollSlice);
}

void CharStream::Close() {
  hurried_ = true;
  const std::lock_guard lock(mutex_);
  if (!closed_) Drain(kLastWords);
  closed_ = true;
  buffer_.clear();
}

void CharStream::Drain(milliseconds patience) {
  size_t done = 0;
  milliseconds waited{0};
  while (done < buffer_.size() && output_ >= 0) {
    const bool wait = patience == kForever ? !Hurried() : waited < patience;
    pollfd p{.fd = output_, .events = POLLOUT, .revents = 0};
    const int ready =
        ::poll(&p, 1, wait ? static_cast<int>(kPollSlice.count()) : 0);
    ssize_t n = -1;
    if (ready > 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0) {
      n = ::write(output_, buffer_.data() + done,
                  std::min(buffer_.size() - done, kWriteSlice));
    } else if (ready > 0) {
      errno = EPIPE;
    } else if (ready == 0) {
      errno = EAGAIN;
    }
    if (n >= 0) {
      done += static_cast<size_t>(n);
      waited = milliseconds{0};
    } else if (errno == EINTR || errno == EAGAIN) {
      if (!wait) break;
      waited += kPollSlice;
    } else {
      done = buffer_.size();  // the reader is gone: what it missed is lost
    }
  }
  buffer_.erase(0, output_ >= 0 ? done : buffer_.size());
}

void CharStream::SetInput(InputSink sink) {
  sink_ = std::move(sink);
  WatchInput(input_ >= 0 && sink_ != nullptr);
}

void CharStream::InputReady() {
  if (!starved_.exchange(false)) return;
  loop_.Post([this] { DeliverPending(); });
}

absl::Status CharStream::SetDescriptors(int input, int output, bool owned) {
  WatchInput(false);
  {
    // A writer that waits for the old reader holds the lock.
    replacing_ = true;
    const std::lock_guard lock(mutex_);
    replacing_ = false;
    Drain(kAtOnce);
    output_ = output;
    owned_output_.Reset(owned && output != input ? output : -1);
  }
  input_ = input;
  owned_input_.Reset(owned ? input : -1);
  pending_.clear();
  WatchInput(input_ >= 0);
  return absl::OkStatus();
}

void CharStream::WatchInput(bool on) {
  if (on == watching_) return;
  if (on) {
    if (sink_ == nullptr) return;
    // A regular file cannot be polled (EPERM) and is read at once.
    const absl::Status status = loop_.Add(
        input_, EPOLLIN, [this](uint32_t events) { OnInput(events); });
    if (!status.ok()) {
      loop_.Post([this] { OnInput(EPOLLIN); });
      return;
    }
  } else {
    loop_.Remove(input_);
  }
  watching_ = on;
}

void CharStream::OnInput(uint32_t /*events*/) {
  std::array<std::byte, 256> chunk;
  const ssize_t n = ::read(input_, chunk.data(), chunk.size());
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) {
    WatchInput(false);
    if (on_end_) on_end_();
    return;
  }
  const auto data = std::span(chunk).first(static_cast<size_t>(n));
  if (filter_) {
    const std::vector<std::byte> kept = filter_(data);
    pending_.insert(pending_.end(), kept.begin(), kept.end());
  } else {
    pending_.insert(pending_.end(), data.begin(), data.end());
  }
  DeliverPending();
}

void CharStream::DeliverPending() {
  while (!pending_.empty() && sink_ != nullptr) {
    // Set before the device is asked: it may make room right after.
    starved_ = true;
    const size_t taken = sink_(pending_);
    pending_.erase(pending_.begin(),
                   pending_.begin() + static_cast<ptrdiff_t>(taken));
    if (taken == 0) break;
  }
  if (pending_.empty()) starved_ = false;
  // While the device is full the rest stays in the terminal; with a filter
  // (escape keys) reading goes on, up to a bound.
  const bool read_on =
      pending_.empty() || (filter_ != nullptr && pending_.size() < kWriteSlice);
  if (input_ >= 0) WatchInput(read_on);
}

}  // namespace kvmlet
