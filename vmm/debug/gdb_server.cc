// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/gdb_server.h"

#include <glog/logging.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "vmm/base/status_macros.h"
#include "vmm/base/tcp_socket.h"

namespace kvmlet {
namespace {

// A client with this much to read gets nothing new to do.
constexpr size_t kMostQueued = 1 << 20;
// Of a client that is gone; a socket holds less than so many reads.
constexpr int kLastReads = 256;
// A client in non-stop fetches the news of the end.
constexpr std::chrono::seconds kLongestEnd{5};
constexpr int kEndPause = 20;  // ms

bool HungUp(int fd) {
  pollfd client{.fd = fd, .events = POLLRDHUP, .revents = 0};
  return ::poll(&client, 1, 0) > 0 &&
         (client.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GdbServer>> GdbServer::Create(
    EventLoop& loop, const GdbConfig& config, Debugger& debugger) {
  std::unique_ptr<GdbServer> server(new GdbServer(loop, config, debugger));
  KVMLET_RETURN_IF_ERROR(server->Listen());
  return server;
}

GdbServer::~GdbServer() {
  if (client_.ok()) {
    Flush();
    ServeEnd();
    loop_.Remove(client_.get());
  }
  if (listener() >= 0) loop_.Remove(listener());
}

absl::Status GdbServer::Listen() {
  if (config_.path.empty()) {
    KVMLET_ASSIGN_OR_RETURN(tcp_listener_,
                            ListenTcp("--gdb", config_.host, config_.port));
  } else {
    KVMLET_ASSIGN_OR_RETURN(UnixListener listener,
                            UnixListener::Create("--gdb", config_.path));
    unix_listener_.emplace(std::move(listener));
  }
  return loop_.Add(listener(), EPOLLIN, [this](uint32_t) { Accept(); });
}

int GdbServer::listener() const {
  return unix_listener_ ? unix_listener_->get() : tcp_listener_.get();
}

void GdbServer::Accept() {
  UniqueFd fd(
      ::accept4(listener(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.ok()) return;
  if (unix_listener_ && !PeerMayControl(fd.get())) {
    log_.Warn("refused a client of another user");
    return;
  }
  ServeGone();
  if (session_ != nullptr) {
    log_.Warn("refused a second client: one at a time");
    // With a reset, so that it sees a refusal and not an end.
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    return;
  }
  if (!unix_listener_) SendAtOnce(fd.get());
  const absl::Status status = loop_.Add(
      fd.get(), EPOLLIN, [this](uint32_t events) { OnClient(events); });
  if (!status.ok()) {
    log_.Warn("cannot watch a client: disconnected");
    return;
  }
  client_ = std::move(fd);
  watched_ = EPOLLIN;
  output_.clear();
  lost_ = false;
  session_ = std::make_unique<GdbSession>(
      debugger_, [this](std::string_view bytes) { Send(bytes); });
}

// The next client may be here before all that the last one left is read.
void GdbServer::ServeGone() {
  for (int i = 0; i < kLastReads && session_ != nullptr; ++i) {
    if (!HungUp(client_.get())) return;
    OnClient(EPOLLIN);
  }
}

void GdbServer::OnClient(uint32_t epoll_events) {
  Flush();
  const bool readable = (epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
  if (readable && !lost_ && output_.size() < kMostQueued) Read();
  if (lost_) return OnLost();
  const GdbSession::Wish wish = session_->wish();
  if (wish != GdbSession::Wish::kNone) return Grant(wish);
  UpdateInterest();
}

void GdbServer::Read() {
  std::array<char, 64 << 10> buffer;
  const ssize_t n =
      ::recv(client_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n > 0) {
    session_->OnInput({buffer.data(), static_cast<size_t>(n)});
  } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
    lost_ = true;
  }
}

void GdbServer::Send(std::string_view bytes) {
  output_.append(bytes);
  Flush();
  UpdateInterest();
}

void GdbServer::Flush() {
  size_t sent = 0;
  while (sent < output_.size()) {
    const ssize_t n =
        ::send(client_.get(), output_.data() + sent, output_.size() - sent,
               MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      // A connection that is gone is seen by the next read.
      if (errno != EAGAIN) sent = output_.size();
      break;
    }
    sent += static_cast<size_t>(n);
  }
  output_.erase(0, sent);
}

void GdbServer::ServeEnd() {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point until = Clock::now() + kLongestEnd;
  while (session_->tells_end() && !lost_ && Clock::now() < until) {
    pollfd client{.fd = client_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&client, 1, kEndPause) > 0) Read();
    Flush();
  }
}

void GdbServer::UpdateInterest() {
  uint32_t wanted = 0;
  if (output_.size() < kMostQueued) wanted |= EPOLLIN;
  if (!output_.empty()) wanted |= EPOLLOUT;
  if (wanted == watched_) return;
  const absl::Status status = loop_.Modify(client_.get(), wanted);
  LOG_IF(WARNING, !status.ok()) << "gdb: " << status.message();
  watched_ = wanted;
}

void GdbServer::Drop(bool stay_stopped) {
  Flush();
  loop_.Remove(client_.get());
  session_.reset();
  client_.Reset();
  debugger_.Detach(stay_stopped);
}

void GdbServer::Grant(GdbSession::Wish wish) {
  const bool kill = wish == GdbSession::Wish::kKill;
  Drop(/*stay_stopped=*/kill);
  if (kill) debugger_.target().QuitFromDebugger();
}

void GdbServer::OnLost() {
  log_.Warn("the connection is gone");
  Drop(config_.on_disconnect != OnDisconnect::kResume);
  if (config_.on_disconnect == OnDisconnect::kKill) {
    debugger_.target().QuitFromDebugger();
  }
}

}  // namespace kvmlet
