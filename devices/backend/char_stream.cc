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

constexpr size_t kFlushSize = 512;
constexpr std::chrono::milliseconds kFlushDelay{2};
constexpr int kPollSliceMs = 50;
// A pipe that polls writable takes this much without blocking.
constexpr size_t kWriteSlice = 4096;

}  // namespace

CharStream::~CharStream() {
  Flush();
  WatchInput(false);
}

void CharStream::Write(std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  buffer_.append(reinterpret_cast<const char*>(data.data()), data.size());
  const bool line =
      std::find(data.begin(), data.end(), std::byte{'\n'}) != data.end();
  if (line || buffer_.size() >= kFlushSize) {
    Drain();
  } else if (!flush_posted_) {
    flush_posted_ = true;
    loop_.Post([this] { loop_.RunAfter(kFlushDelay, [this] { Flush(); }); });
  }
}

void CharStream::Flush() {
  const std::lock_guard lock(mutex_);
  flush_posted_ = false;
  Drain();
}

void CharStream::Drain() {
  size_t done = 0;
  while (done < buffer_.size() && output_ >= 0) {
    pollfd p{.fd = output_, .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&p, 1, kPollSliceMs);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
      if (closed_) break;
      continue;
    }
    const ssize_t n = ::write(output_, buffer_.data() + done,
                              std::min(buffer_.size() - done, kWriteSlice));
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (errno != EINTR && errno != EAGAIN) {
      break;  // the reader is gone: what it missed is lost
    }
  }
  buffer_.clear();
}

void CharStream::SetInput(InputSink sink) {
  sink_ = std::move(sink);
  WatchInput(input_ >= 0);
}

void CharStream::InputReady() {
  if (!starved_.exchange(false)) return;
  loop_.Post([this] { DeliverPending(); });
}

absl::Status CharStream::SetDescriptors(int input, int output, bool owned) {
  WatchInput(false);
  {
    const std::lock_guard lock(mutex_);
    Drain();
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
