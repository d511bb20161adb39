// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/terminal.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace kvmlet {
namespace {

constexpr std::byte kEscape{0x01};  // Ctrl-A

// What a crash handler needs: async-signal-safe, so plain data.
struct SavedTerminal {
  std::atomic<int> fd{-1};
  termios settings{};
};
SavedTerminal saved_terminal;  // NOLINT: signal handlers have no context

constexpr int kCrashSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

void RestoreSaved() {
  const int fd = saved_terminal.fd.exchange(-1);
  if (fd >= 0) ::tcsetattr(fd, TCSANOW, &saved_terminal.settings);
}

void OnCrash(int signal) {
  RestoreSaved();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

termios RawSettings(const termios& before) {
  termios raw = before;
  ::cfmakeraw(&raw);
  raw.c_oflag |= OPOST;  // the monitor's own lines still end with \n
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  return raw;
}

}  // namespace

std::unique_ptr<RawMode> RawMode::Enter(int fd) {
  termios before{};
  if (::isatty(fd) == 0 || ::tcgetattr(fd, &before) != 0) return nullptr;
  if (::tcgetpgrp(fd) != ::getpgrp()) return nullptr;
  return std::unique_ptr<RawMode>(new RawMode(fd, before));
}

RawMode::RawMode(int fd, const termios& before) : fd_(fd), before_(before) {
  saved_terminal.settings = before;
  saved_terminal.fd = fd;
  for (const int signal : kCrashSignals) {
    struct sigaction action {};
    action.sa_handler = OnCrash;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(signal, &action, nullptr);
  }
  std::atexit(RestoreSaved);
  Resume();
}

RawMode::~RawMode() { RestoreSaved(); }

void RawMode::Suspend() const { ::tcsetattr(fd_, TCSADRAIN, &before_); }

void RawMode::Resume() const {
  const termios raw = RawSettings(before_);
  ::tcsetattr(fd_, TCSANOW, &raw);
}

std::vector<std::byte> EscapeKeys::Filter(std::span<const std::byte> input) {
  std::vector<std::byte> kept;
  kept.reserve(input.size());
  for (const std::byte b : input) {
    if (!escaped_) {
      if (b == kEscape) {
        escaped_ = true;
      } else {
        kept.push_back(b);
      }
      continue;
    }
    escaped_ = false;
    if (b == kEscape || b == std::byte{'a'}) {
      kept.push_back(kEscape);
    } else {
      on_key_(std::to_integer<char>(b));
    }
  }
  return kept;
}

}  // namespace kvmlet
