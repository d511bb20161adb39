// SPDX-License-Identifier: Apache-2.0
// What is behind a character device (the serial port, a console port): a place
// for the guest's output, and a source of input that is only drained as fast
// as the device takes it.
//
// Threads: Write from any thread. SetInput before the guest runs; the sink is
// called on the backend's loop. InputReady from any thread.
#ifndef KVMLET_DEVICES_BACKEND_CHAR_BACKEND_H_
#define KVMLET_DEVICES_BACKEND_CHAR_BACKEND_H_

#include <cstddef>
#include <functional>
#include <span>

namespace kvmlet {

class CharBackend {
 public:
  // Takes a prefix of the bytes and says how many; 0 means full.
  using InputSink = std::function<size_t(std::span<const std::byte>)>;

  virtual ~CharBackend() = default;
  // Output may be held back for some milliseconds to make whole lines.
  virtual void Write(std::span<const std::byte> data) = 0;
  // Writes out what is held back, as far as the reader takes it at once.
  virtual void Flush() = 0;
  // A write waits for a slow reader, but not while it is hurried: whoever
  // waits for the writing thread says so. Nothing is lost by it. From any
  // thread.
  virtual void Hurry(bool /*on*/) {}
  virtual void SetInput(InputSink sink) = 0;
  // The device, full before, has room again.
  virtual void InputReady() = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_CHAR_BACKEND_H_
