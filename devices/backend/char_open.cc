// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/char_open.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "devices/backend/terminal.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unix_socket.h"

namespace kvmlet {
namespace {

// How often a pseudo terminal that nobody has open is looked at.
constexpr std::chrono::milliseconds kPtyPoll{200};

// Standard output opened anew so that it never blocks, which the descriptor
// shared with other processes must not do; none where that makes no sense.
UniqueFd ReopenOutput() {
  struct stat st {};
  const bool stream =
      ::isatty(STDOUT_FILENO) != 0 ||
      (::fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode));
  if (!stream) return UniqueFd();
  return UniqueFd(
      ::open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

// Keeps the terminal raw as long as the stream lives.
class StdioStream : public CharStream {
 public:
  StdioStream(EventLoop& loop, TerminalHooks hooks)
      : CharStream(loop),
        raw_(RawMode::Enter(STDIN_FILENO)),
        output_(ReopenOutput()),
        hooks_(std::move(hooks)),
        keys_(hooks_.on_escape) {
    if (raw_ == nullptr) return;
    SetFilter([this](std::span<const std::byte> input) {
      std::vector<std::byte> kept = keys_.Filter(input);
      if (hooks_.divert(kept)) kept.clear();
      return kept;
    });
  }
  ~StdioStream() override { SetDescriptors(-1, -1, false).IgnoreError(); }

  absl::Status Connect() {
    return SetDescriptors(STDIN_FILENO,
                          output_.ok() ? output_.get() : STDOUT_FILENO, false);
  }

 private:
  std::unique_ptr<RawMode> raw_;
  UniqueFd output_;
  TerminalHooks hooks_;
  EscapeKeys keys_;
};

// The master of a pseudo terminal. Its input ends when the last client closes
// the other side, and begins again with the next one.
class PtyStream : public CharStream {
 public:
  explicit PtyStream(EventLoop& loop) : CharStream(loop) {
    SetOnEnd([this, &loop] { loop.RunAfter(kPtyPoll, [this] { Rewatch(); }); });
  }
};

// Owns the listening socket; the client's descriptor is the stream's.
class UnixStream : public CharStream {
 public:
  UnixStream(EventLoop& loop, UnixListener listener)
      : CharStream(loop), loop_(loop), listener_(std::move(listener)) {
    SetOnEnd([this] { SetDescriptors(-1, -1, false).IgnoreError(); });
  }
  ~UnixStream() override { loop_.Remove(listener_.get()); }

  absl::Status Listen() {
    return loop_.Add(listener_.get(), EPOLLIN, [this](uint32_t) { Accept(); });
  }

 private:
  void Accept() {
    UniqueFd client(::accept4(listener_.get(), nullptr, nullptr,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.ok()) return;
    // The newest client takes over: a stale one cannot lock the console.
    const int fd = client.Release();
    SetDescriptors(fd, fd, true).IgnoreError();
  }

  EventLoop& loop_;
  UnixListener listener_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CharStream>> OpenNullChar(EventLoop& loop) {
  return std::make_unique<CharStream>(loop);
}

absl::StatusOr<std::unique_ptr<CharStream>> OpenStdioChar(EventLoop& loop,
                                                          TerminalHooks hooks) {
  auto stream = std::make_unique<StdioStream>(loop, std::move(hooks));
  KVMLET_RETURN_IF_ERROR(stream->Connect());
  return stream;
}

absl::StatusOr<std::unique_ptr<CharStream>> OpenFileChar(
    EventLoop& loop, const std::string& flag, const std::string& path) {
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return CannotOpen(errno, absl::StrCat(flag, " file:", path));
  auto stream = std::make_unique<CharStream>(loop);
  KVMLET_RETURN_IF_ERROR(stream->SetDescriptors(-1, fd, true));
  return stream;
}

absl::StatusOr<std::unique_ptr<CharStream>> OpenUnixChar(
    EventLoop& loop, const std::string& flag, const std::string& path) {
  KVMLET_ASSIGN_OR_RETURN(UnixListener listener,
                          UnixListener::Create(flag, path));
  auto stream = std::make_unique<UnixStream>(loop, std::move(listener));
  KVMLET_RETURN_IF_ERROR(stream->Listen());
  return stream;
}

absl::StatusOr<std::unique_ptr<CharStream>> OpenPtyChar(EventLoop& loop) {
  UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  if (!master.ok()) return PosixError(errno, "--serial pty");
  char name[64];
  if (::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0 ||
      ::ptsname_r(master.get(), name, sizeof(name)) != 0) {
    return PosixError(errno, "--serial pty");
  }
  {
    // Without this it would echo the guest's output as input. Closed again,
    // so that output is dropped as long as nobody listens.
    const UniqueFd slave(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
    termios settings{};
    if (!slave.ok() || ::tcgetattr(slave.get(), &settings) != 0) {
      return PosixError(errno, "--serial pty");
    }
    ::cfmakeraw(&settings);
    ::tcsetattr(slave.get(), TCSANOW, &settings);
  }
  std::fprintf(stderr, "kvmlet: the serial port is at %s\n", name);
  auto stream = std::make_unique<PtyStream>(loop);
  const int fd = master.Release();
  KVMLET_RETURN_IF_ERROR(stream->SetDescriptors(fd, fd, true));
  return stream;
}

}  // namespace kvmlet
