// SPDX-License-Identifier: Apache-2.0
// The user's signals end the monitor, whatever it waits for.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvmlet_process.h"

namespace kvmlet {
namespace {

class SignalsTest : public KvmletTest {
 protected:
  // Prints without end: more than a pipe holds.
  GuestCode Babbler() {
    GuestCode code;
    const uint32_t again = code.here();
    code.Print("0123456789abcdef0123456789abcdef0123456789abcdef\n");
    return code.Jump(again);
  }
  // Waits until the event stream says that the machine is there; it has no
  // start event, so a guest that spoke is the sign.
  std::unique_ptr<KvmletProcess> StartStuckOnItsOutput(
      const KvmletProcess::Args& more = {}) {
    KvmletProcess::Args args = {"--kernel", Kernel(Babbler())};
    args.insert(args.end(), more.begin(), more.end());
    auto process = Start(args);
    EXPECT_TRUE(process->WaitForOutput("0123456789abcdef\n"));
    process->ReadOutput(false);
    // The pipe is full when nothing is used up any more.
    process->WaitUntil([] { return false; }, milliseconds(500));
    return process;
  }
};

TEST_F(SignalsTest, EachEndsItWithItsStatus) {
  const struct {
    int number;
    const char* name;
  } kSignals[] = {{SIGTERM, "SIGTERM"},
                  {SIGINT, "SIGINT"},
                  {SIGHUP, "SIGHUP"},
                  {SIGQUIT, "SIGQUIT"}};
  for (const auto& signal : kSignals) {
    GuestCode code;
    code.Print("up\n").HaltForEver();
    const auto process =
        Start({"--kernel", Kernel(code), "--events", Path("events")});
    ASSERT_TRUE(process->WaitForOutput("up\n"));
    process->Signal(signal.number);
    EXPECT_EQ(process->Wait(), 128 + signal.number) << process->err();
    EXPECT_EQ(Verdict()["reason"], "signal");
    EXPECT_EQ(Verdict()["text"], signal.name);
    EXPECT_EQ(Events().back()["data"]["reason"], "host-signal");
  }
}

TEST_F(SignalsTest, ASpinningGuestEndsToo) {
  const auto process = Start({"--kernel", Payload("spin"), "--cpus", "2"});
  process->WaitUntil([] { return false; }, milliseconds(300));
  process->Signal(SIGTERM);
  EXPECT_EQ(process->Wait(seconds(20)), 143);
}

TEST_F(SignalsTest, AStuckReaderDoesNotHoldItUp) {
  const auto process = StartStuckOnItsOutput();
  ASSERT_TRUE(process->running());
  process->Signal(SIGTERM);
  EXPECT_EQ(process->Wait(seconds(20)), 143) << process->err();
  EXPECT_EQ(Verdict()["reason"], "signal");
}

TEST_F(SignalsTest, ATimeoutEndsAGuestWithAStuckReader) {
  const auto process = StartStuckOnItsOutput({"--timeout", "2s"});
  EXPECT_EQ(process->Wait(seconds(20)), 124) << process->err();
}

TEST_F(SignalsTest, AStuckUnfinishedLineDoesNotHoldItUp) {
  GuestCode code;
  for (int i = 0; i < 200; ++i) code.Print("0123456789abcdef");
  code.Jump(GuestCode::kBase);
  const auto process = Start({"--kernel", Kernel(code)});
  ASSERT_TRUE(process->WaitForOutput("0123456789abcdef"));
  process->ReadOutput(false);
  process->WaitUntil([] { return false; }, milliseconds(500));
  process->Signal(SIGTERM);
  EXPECT_EQ(process->Wait(seconds(20)), 143) << process->err();
}

TEST_F(SignalsTest, AReaderThatIsGoneDoesNotEndTheGuest) {
  GuestCode code;
  for (int i = 0; i < 50; ++i) code.Print("line\n");
  code.Exit(3);
  KvmletProcess process(RunArgs({"--kernel", Kernel(code)}), [] {
    // Standard output is a pipe that nobody reads.
    int ends[2];
    if (::pipe(ends) != 0) return false;
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    return true;
  });
  EXPECT_EQ(process.Wait(), 3) << process.err();
}

TEST_F(SignalsTest, AFullStandardErrorDoesNotHoldItUp) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  const std::string page(4096, 'x');
  while (::write(writer.get(), page.data(), page.size()) > 0) {
  }
  ASSERT_EQ(::fcntl(writer.get(), F_SETFL, 0), 0);
  // Panic events that do not exist: the monitor warns, and reports the end.
  GuestCode code;
  code.Print("up\n");
  const uint32_t again = code.here();
  code.ReportToPvpanic(0x80).Jump(again);
  KvmletProcess process(RunArgs({"--kernel", Kernel(code)}), [&writer] {
    return ::dup2(writer.get(), STDERR_FILENO) >= 0;
  });
  ASSERT_TRUE(process.WaitForOutput("up\n"));
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Wait(seconds(20)), 143);
  EXPECT_EQ(Verdict()["reason"], "signal");
}

TEST_F(SignalsTest, AFifoThatNobodyReadsDoesNotHoldItUp) {
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  const auto process =
      Start({"--kernel", Payload("spin"), "--serial", "file:" + Path("fifo")});
  process->WaitUntil([] { return false; }, milliseconds(500));
  process->Signal(SIGTERM);
  EXPECT_EQ(process->Wait(seconds(20)), 143) << process->err();
}

TEST_F(SignalsTest, AnIgnoredInterruptStaysIgnored) {
  GuestCode code;
  code.Print("up\n").HaltForEver();
  KvmletProcess process(RunArgs({"--kernel", Kernel(code)}), [] {
    ::signal(SIGINT, SIG_IGN);  // as a shell does for what runs behind it
    return true;
  });
  ASSERT_TRUE(process.WaitForOutput("up\n"));
  process.Signal(SIGINT);
  process.WaitUntil([] { return false; }, milliseconds(300));
  EXPECT_TRUE(process.running());
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Wait(), 143);
}

}  // namespace
}  // namespace kvmlet
