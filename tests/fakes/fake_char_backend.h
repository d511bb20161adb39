// SPDX-License-Identifier: Apache-2.0
// A character backend for tests: it keeps the guest's output, and its input
// comes when the test says so. Output from any thread, the rest on one.
#ifndef KVMLET_TESTS_FAKES_FAKE_CHAR_BACKEND_H_
#define KVMLET_TESTS_FAKES_FAKE_CHAR_BACKEND_H_

#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "devices/backend/char_backend.h"

namespace kvmlet::fakes {

class FakeCharBackend : public CharBackend {
 public:
  void Write(std::span<const std::byte> data) override {
    const std::lock_guard lock(mutex_);
    output_.append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  void Flush() override { ++flushes; }
  void SetInput(InputSink sink) override { sink_ = std::move(sink); }
  void InputReady() override { ++ready_calls; }

  std::string output() const {
    const std::lock_guard lock(mutex_);
    return output_;
  }
  bool connected() const { return sink_ != nullptr; }
  // What the device took of it.
  size_t Type(std::string_view text) const {
    return sink_(std::as_bytes(std::span(text.data(), text.size())));
  }

  int flushes = 0;
  int ready_calls = 0;

 private:
  InputSink sink_;
  mutable std::mutex mutex_;
  std::string output_;  // guarded by mutex_
};

}  // namespace kvmlet::fakes

#endif  // KVMLET_TESTS_FAKES_FAKE_CHAR_BACKEND_H_
