// SPDX-License-Identifier: Apache-2.0
#include "vmm/console_watch.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <thread>

#include "tests/fakes/fake_char_backend.h"

namespace kvmlet {
namespace {

class ConsoleWatchTest : public testing::Test {
 protected:
  void Print(std::string_view text) {
    watch_.Write(std::as_bytes(std::span(text.data(), text.size())));
  }

  fakes::FakeCharBackend backend_;
  ConsoleWatch watch_{backend_};
};

TEST_F(ConsoleWatchTest, PassesEverythingOn) {
  Print("hello ");
  Print("world\n");
  EXPECT_EQ(backend_.output(), "hello world\n");
  watch_.Flush();
  EXPECT_EQ(backend_.flushes, 1);
  watch_.InputReady();
  EXPECT_EQ(backend_.ready_calls, 1);
}

TEST_F(ConsoleWatchTest, PassesInputToTheDevice) {
  std::string seen;
  watch_.SetInput([&seen](std::span<const std::byte> data) {
    seen.append(reinterpret_cast<const char*>(data.data()), data.size());
    return data.size();
  });
  EXPECT_EQ(backend_.Type("typed"), 5u);
  EXPECT_EQ(seen, "typed");
}

TEST_F(ConsoleWatchTest, SeesAPanicAndItsReason) {
  Print("[ 1.0] Kernel panic - not syncing: VFS: no root\r\nCPU: 0\n");
  EXPECT_TRUE(watch_.panicked());
  EXPECT_EQ(watch_.panic_line(), "VFS: no root");
}

TEST_F(ConsoleWatchTest, SeesAPanicByteByByte) {
  for (const char c : std::string("Kernel panic - not syncing: why\n")) {
    Print(std::string_view(&c, 1));
  }
  EXPECT_EQ(watch_.panic_line(), "why");
}

TEST_F(ConsoleWatchTest, SeesAPanicSplitAtEveryPlace) {
  const std::string text = "xKernel panic - not syncing: why\n";
  for (size_t at = 0; at <= text.size(); ++at) {
    watch_.Forget();
    Print(text.substr(0, at));
    Print(text.substr(at));
    EXPECT_TRUE(watch_.panicked()) << at;
    EXPECT_EQ(watch_.panic_line(), "why") << at;
  }
}

TEST_F(ConsoleWatchTest, SeesAPanicAfterAFalseStart) {
  Print("KKernel panic - Kernel panic - not syncing: why\n");
  EXPECT_EQ(watch_.panic_line(), "why");
}

TEST_F(ConsoleWatchTest, AnotherTextIsNoPanic) {
  Print("Kernel panic - not syncing\n");
  Print("kernel panic - not syncing: lower case\n");
  EXPECT_FALSE(watch_.panicked());
  EXPECT_EQ(watch_.panic_line(), "");
}

TEST_F(ConsoleWatchTest, TheFirstPanicCounts) {
  Print("Kernel panic - not syncing: first\n");
  Print("Kernel panic - not syncing: second\n");
  EXPECT_EQ(watch_.panic_line(), "first");
}

TEST_F(ConsoleWatchTest, AnEndlessLineIsCut) {
  Print("Kernel panic - not syncing: " + std::string(100'000, 'x'));
  EXPECT_EQ(watch_.panic_line(), std::string(200, 'x'));
}

TEST_F(ConsoleWatchTest, ForgetsForTheNextBoot) {
  Print("Kernel panic - not syncing: why\nKernel panic - not");
  watch_.Forget();
  EXPECT_FALSE(watch_.panicked());
  Print(" syncing: \n");
  EXPECT_FALSE(watch_.panicked());
}

TEST_F(ConsoleWatchTest, SeesTheStatusOfATestKernel) {
  EXPECT_EQ(watch_.exit_status(), std::nullopt);
  Print("PASS: test\n\nEXIT: STATUS=77\n");
  EXPECT_EQ(watch_.exit_status(), 77u);
  EXPECT_FALSE(watch_.panicked());
  watch_.Forget();
  EXPECT_EQ(watch_.exit_status(), std::nullopt);
}

TEST_F(ConsoleWatchTest, AStatusThatIsNoNumberIsNone) {
  for (const char* text : {"", "x", "1x", "-1", "99999999999"}) {
    watch_.Forget();
    Print(std::string("EXIT: STATUS=") + text + "\n");
    EXPECT_EQ(watch_.exit_status(), std::nullopt) << text;
  }
}

TEST_F(ConsoleWatchTest, KnowsWhenTheGuestSpokeLast) {
  const auto start = std::chrono::steady_clock::now();
  Print("x");
  EXPECT_GE(watch_.last_output(), start);
  EXPECT_LE(watch_.last_output(), std::chrono::steady_clock::now());
}

TEST_F(ConsoleWatchTest, TwoProcessorsMayPrintAtOnce) {
  std::thread other([this] {
    for (int i = 0; i < 1000; ++i) Print("other\n");
  });
  for (int i = 0; i < 1000; ++i) Print("mine\n");
  other.join();
  EXPECT_FALSE(watch_.panicked());
  EXPECT_EQ(backend_.output().size(), 1000u * 11);
}

}  // namespace
}  // namespace kvmlet
