// SPDX-License-Identifier: Apache-2.0
// A CharBackend over file descriptors: output gathered into lines, input read
// only when the device has room. The descriptors may be replaced while it runs
// (a client of a socket comes and goes); without any, or when nobody is at the
// other end, output is dropped.
//
// Threads: Write, Flush and Hurry from any thread; the rest on the loop's
// thread, or before it runs. Only Write waits for a slow reader, and Close for
// a second.
#ifndef KVMLET_DEVICES_BACKEND_CHAR_STREAM_H_
#define KVMLET_DEVICES_BACKEND_CHAR_STREAM_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "devices/backend/char_backend.h"
#include "vmm/base/unique_fd.h"
#include "vmm/event/event_loop.h"

namespace kvmlet {

class CharStream : public CharBackend {
 public:
  // Sees input before the device; what it returns goes to the device.
  using Filter =
      std::function<std::vector<std::byte>(std::span<const std::byte>)>;

  explicit CharStream(EventLoop& loop) : loop_(loop) {}
  ~CharStream() override;

  void Write(std::span<const std::byte> data) override;
  void Flush() override;
  void Hurry(bool on) override { hurried_ = on; }
  void SetInput(InputSink sink) override;
  void InputReady() override;

  // -1: none. `owned` descriptors are closed when replaced.
  absl::Status SetDescriptors(int input, int output, bool owned);
  void SetFilter(Filter filter) { filter_ = std::move(filter); }
  // Called when the input ends; the input is no longer watched then.
  void SetOnEnd(std::function<void()> on_end) { on_end_ = std::move(on_end); }
  // Watches the input again after it ended.
  void Rewatch() { WatchInput(input_ >= 0); }
  // Writes out what is left, but does not wait for a reader that takes nothing
  // for a second; later output is dropped.
  void Close();

 private:
  void OnInput(uint32_t events);
  void DeliverPending();
  void WatchInput(bool on);
  // Writes out what is buffered, called with mutex_ held; gives up when the
  // reader takes nothing for so long. What is left stays in the buffer.
  void Drain(std::chrono::milliseconds patience);
  bool Hurried() const { return hurried_.load() || replacing_.load(); }
  void FlushLater(std::chrono::milliseconds delay);
  void OnFlushTimer();

  EventLoop& loop_;
  std::atomic<bool> hurried_{false};
  std::atomic<bool> replacing_{false};  // the descriptors
  InputSink sink_;
  Filter filter_;
  std::function<void()> on_end_;
  int input_ = -1;
  bool watching_ = false;
  UniqueFd owned_input_;
  std::vector<std::byte> pending_;    // read, not yet taken by the device
  std::atomic<bool> starved_{false};  // the device was full

  std::mutex mutex_;
  int output_ = -1;        // guarded by mutex_
  UniqueFd owned_output_;  // guarded by mutex_
  std::string buffer_;     // guarded by mutex_
  bool closed_ = false;    // guarded by mutex_
  std::atomic<bool> flush_posted_{false};
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_CHAR_STREAM_H_
