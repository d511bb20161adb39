// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/rng.h"

#include <sys/epoll.h>
#include <sys/random.h>

#include <cerrno>
#include <chrono>
#include <utility>

namespace kvmlet::virtio {
namespace {

// Requests of one call before the loop's other work gets its turn.
constexpr int kMaxRequests = 16;
constexpr std::chrono::milliseconds kRetryDelay{100};

// Bytes filled; fewer than the buffer when the host has none to give yet.
size_t FillRandom(const iovec& buffer) {
  size_t done = 0;
  while (done < buffer.iov_len) {
    const ssize_t n =
        ::getrandom(static_cast<std::byte*>(buffer.iov_base) + done,
                    buffer.iov_len - done, GRND_NONBLOCK);
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      break;
    }
  }
  return done;
}

}  // namespace

absl::Status RngDevice::Activate(ActiveState state) {
  if (state.queues.empty() || !state.queues[0].queue) return absl::OkStatus();
  ActiveQueue& queue = state.queues[0];
  absl::Status status;
  loop_.RunSync([&] {
    active_.reset(new Active{
        *std::move(queue.queue), *queue.kick, *state.events, {}, {}});
    // Edge-triggered: nobody needs to read the counter.
    status = loop_.Add(active_->kick.get(), EPOLLIN | EPOLLET,
                       [this](uint32_t) { Service(); });
    // The driver may have added buffers before DRIVER_OK.
    active_->kick.Signal();
  });
  return status;
}

void RngDevice::Reset() {
  if (active_ == nullptr) return;
  loop_.RunSync([this] {
    loop_.Remove(active_->kick.get());
    if (active_->retry) loop_.Cancel(*active_->retry);
    active_.reset();
  });
}

void RngDevice::Service() {
  Active& active = *active_;
  if (active.queue.broken() || active.retry) return;
  int count = 0;
  while (count < kMaxRequests) {
    std::optional<DescriptorChain> chain = active.queue.Pop();
    if (!chain) break;
    if (!Serve(*chain)) break;
    ++count;
  }
  if (active.queue.ShouldNotify()) active.events.NotifyQueue(0);
  if (active.queue.broken()) {
    log_.Warn(active.queue.error());
    active.events.SetNeedsReset(active.queue.error());
  } else if (count == kMaxRequests) {
    active.kick.Signal();  // The rest, after the loop's other work.
  }
}

// False when the host has no randomness yet: the request waits in the ring.
bool RngDevice::Serve(DescriptorChain& chain) {
  Active& active = *active_;
  active.iovecs.clear();
  chain.writer().TakeIovecs(kMaxBytes, active.iovecs);
  uint32_t filled = 0;
  for (const iovec& buffer : active.iovecs) {
    const size_t done = FillRandom(buffer);
    filled += static_cast<uint32_t>(done);
    if (done < buffer.iov_len) break;
  }
  if (filled == 0 && !active.iovecs.empty() && errno == EAGAIN) {
    active.queue.Unpop();
    active.retry = loop_.RunAfter(kRetryDelay, [this] {
      active_->retry.reset();
      Service();
    });
    return false;
  }
  if (active.iovecs.empty()) log_.Warn("a request has no writable buffer");
  active.queue.Push(chain.head(), filled);
  return true;
}

}  // namespace kvmlet::virtio
