// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>
#include <utility>

namespace kvmlet {

QmpConnection::QmpConnection(UniqueFd fd, const QmpRegistry& registry,
                             LogLimiter& log)
    : fd_(std::move(fd)),
      log_(log),
      session_(registry),
      output_(QmpSession::Greeting()) {
  Flush();
}

bool QmpConnection::OnReady(uint32_t epoll_events) {
  // A client that vanished shows as an error of recv() or send(), after what
  // it sent before was read.
  const bool readable = (epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
  if (readable && idle_ && !end_of_input_) Read();
  Process();
  const bool finished = end_of_input_ && idle_ && queued() == 0;
  return !dead_ && !finished;
}

void QmpConnection::SendEvent(std::string_view line) {
  if (deaf_ || !session_.negotiated()) return;
  if (queued() + line.size() > kMaxQueued) {
    log_.Warn("a client does not read its events: disconnected");
    Die();
    return;
  }
  output_.append(line);
  Flush();
}

uint32_t QmpConnection::Interest() const {
  uint32_t events = 0;
  if (idle_ && !end_of_input_) events |= EPOLLIN;
  if (queued() > 0) events |= EPOLLOUT;
  return events;
}

void QmpConnection::Read() {
  std::array<char, 64 << 10> buffer;
  const ssize_t n =
      ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n > 0) {
    session_.Push({buffer.data(), static_cast<size_t>(n)});
    idle_ = false;
  } else if (n == 0) {
    end_of_input_ = true;
  } else if (errno != EAGAIN && errno != EINTR) {
    Die();
  }
}

void QmpConnection::Process() {
  Flush();
  while (!dead_ && !idle_ && queued() < kPauseAt) {
    // Running a command may queue events on this very connection.
    const std::optional<std::string> reply = session_.HandleNext();
    if (!reply) {
      idle_ = true;
      break;
    }
    output_.append(*reply);
    // The reply to "quit" must be out before the machine is gone.
    Flush();
  }
}

void QmpConnection::Flush() {
  while (!deaf_ && queued() > 0) {
    const ssize_t n = ::send(fd_.get(), output_.data() + sent_, queued(),
                             MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      // Nobody reads any more, yet what was sent before is still carried out.
      deaf_ = true;
      break;
    }
    sent_ += static_cast<size_t>(n);
  }
  if (deaf_) sent_ = output_.size();
  if (queued() == 0 || sent_ >= kPauseAt) {
    output_.erase(0, sent_);
    sent_ = 0;
  }
}

void QmpConnection::Die() {
  dead_ = true;
  deaf_ = true;
  output_.clear();
  sent_ = 0;
  // Wakes the loop with EPOLLHUP when this happens outside OnReady.
  ::shutdown(fd_.get(), SHUT_RDWR);
}

}  // namespace kvmlet
