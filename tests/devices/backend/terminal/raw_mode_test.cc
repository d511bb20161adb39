// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <memory>

#include "devices/backend/terminal.h"
#include "tests/devices/backend/terminal/pty.h"

namespace kvmlet {
namespace {

// Runs `body` in a child whose controlling terminal is the pty; the wait
// status.
int OnTerminal(const Pty& pty, const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    if (::ioctl(pty.slave.get(), TIOCSCTTY, 0) != 0) ::_exit(99);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

bool IsRaw(const Pty& pty) {
  return (pty.settings().c_lflag & (ICANON | ECHO | ISIG)) == 0;
}

TEST(RawModeTest, APipeIsNoTerminal) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_EQ(RawMode::Enter(ends[0]), nullptr);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(RawModeTest, AnotherSessionsTerminalIsLeftAlone) {
  const Pty pty;
  ASSERT_TRUE(pty.ok());
  EXPECT_EQ(RawMode::Enter(pty.slave.get()), nullptr);
  EXPECT_FALSE(IsRaw(pty));
}

TEST(RawModeTest, IsRawWhileItLivesAndRestoredAfter) {
  const Pty pty;
  ASSERT_TRUE(pty.ok());
  const int status = OnTerminal(pty, [&pty] {
    std::unique_ptr<RawMode> raw = RawMode::Enter(pty.slave.get());
    if (raw == nullptr || !IsRaw(pty)) ::_exit(1);
    raw->Suspend();
    if (IsRaw(pty)) ::_exit(2);
    raw->Resume();
    if (!IsRaw(pty)) ::_exit(3);
    raw.reset();
    if (IsRaw(pty)) ::_exit(4);
  });
  EXPECT_EQ(status, 0);
}

TEST(RawModeTest, OutputKeepsItsLineEnds) {
  const Pty pty;
  ASSERT_TRUE(pty.ok());
  const int status = OnTerminal(pty, [&pty] {
    const auto raw = RawMode::Enter(pty.slave.get());
    if ((pty.settings().c_oflag & OPOST) == 0) ::_exit(1);
  });
  EXPECT_EQ(status, 0);
}

TEST(RawModeTest, ExitRestores) {
  const Pty pty;
  ASSERT_TRUE(pty.ok());
  OnTerminal(pty, [&pty] {
    static std::unique_ptr<RawMode> kept = RawMode::Enter(pty.slave.get());
    std::exit(0);
  });
  EXPECT_FALSE(IsRaw(pty));
}

TEST(RawModeTest, ACrashRestoresAndKeepsItsSignal) {
  const Pty pty;
  ASSERT_TRUE(pty.ok());
  const int status = OnTerminal(pty, [&pty] {
    static std::unique_ptr<RawMode> kept = RawMode::Enter(pty.slave.get());
    ::raise(SIGSEGV);
  });
  EXPECT_FALSE(IsRaw(pty));
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
}

}  // namespace
}  // namespace kvmlet
