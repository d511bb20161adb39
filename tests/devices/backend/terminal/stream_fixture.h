// SPDX-License-Identifier: Apache-2.0
// A loop on a thread of its own, and a device that takes a stream's input.
#ifndef KVMLET_TESTS_DEVICES_BACKEND_TERMINAL_STREAM_FIXTURE_H_
#define KVMLET_TESTS_DEVICES_BACKEND_TERMINAL_STREAM_FIXTURE_H_

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "devices/backend/char_stream.h"
#include "vmm/event/io_thread.h"

namespace kvmlet {

inline std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

class StreamTest : public testing::Test {
 protected:
  using Clock = std::chrono::steady_clock;

  // The device's FIFO: it takes as much as there is room.
  void Connect(CharStream& stream, size_t room = 1 << 20) {
    room_ = room;
    loop().RunSync([&] {
      stream.SetInput([this](std::span<const std::byte> data) {
        const std::lock_guard lock(mutex_);
        const size_t taken = std::min(room_, data.size());
        room_ -= taken;
        input_.append(reinterpret_cast<const char*>(data.data()), taken);
        return taken;
      });
    });
  }
  void MakeRoom(CharStream& stream, size_t room) {
    {
      const std::lock_guard lock(mutex_);
      room_ += room;
    }
    stream.InputReady();
  }
  std::string input() {
    const std::lock_guard lock(mutex_);
    return input_;
  }
  bool WaitForInput(std::string_view text) {
    return WaitFor([&] { return input() == text; });
  }
  static bool WaitFor(const std::function<bool()>& done) {
    const auto end = Clock::now() + std::chrono::seconds(20);
    while (!done()) {
      if (Clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  // Reads so many bytes, or fewer when none come for a while.
  static std::string ReadSome(int fd, size_t size, int milliseconds = 10'000) {
    std::string text;
    while (text.size() < size) {
      pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
      if (::poll(&p, 1, milliseconds) <= 0) break;
      char chunk[4096];
      const ssize_t n =
          ::read(fd, chunk, std::min(sizeof(chunk), size - text.size()));
      if (n <= 0) break;
      text.append(chunk, static_cast<size_t>(n));
    }
    return text;
  }
  EventLoop& loop() { return thread_->loop(); }
  void SetUp() override { thread_->Enable(); }
  void TearDown() override { thread_->Stop(); }

  std::unique_ptr<IoThread> thread_ = *IoThread::Create("stream");

 private:
  std::mutex mutex_;
  size_t room_ = 0;    // guarded by mutex_
  std::string input_;  // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_DEVICES_BACKEND_TERMINAL_STREAM_FIXTURE_H_
