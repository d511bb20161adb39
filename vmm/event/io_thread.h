// SPDX-License-Identifier: Apache-2.0
// A named thread that runs one EventLoop; devices do their I/O on it. The
// thread starts with Start() or, after Enable(), with the first RunSync() of
// its loop, so that neither building a machine nor a device no driver uses
// costs a thread; it ends with Stop(). Signals are blocked on it.
//
// Threads: Start and loop from any thread; Enable before others know the loop;
// Stop and the destructor on the owner's.
#ifndef KVMLET_VMM_EVENT_IO_THREAD_H_
#define KVMLET_VMM_EVENT_IO_THREAD_H_

#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "vmm/event/event_loop.h"

namespace kvmlet {

class IoThread {
 public:
  // The name is cut to the 15 characters that Linux shows.
  static absl::StatusOr<std::unique_ptr<IoThread>> Create(std::string name);
  ~IoThread();

  EventLoop& loop() { return *loop_; }
  bool running() const;
  // Until then RunSync runs functions in their callers.
  void Enable() {
    loop_->SetStarter([this] { Start(); });
  }
  // Starts the thread and waits until its loop runs; a second call does
  // nothing.
  void Start();
  // Joins the thread; the loop stays, and runs functions in their callers.
  void Stop();

 private:
  IoThread(std::string name, std::unique_ptr<EventLoop> loop)
      : name_(std::move(name)), loop_(std::move(loop)) {}
  std::string name_;
  std::unique_ptr<EventLoop> loop_;
  mutable std::mutex mutex_;
  std::thread thread_;    // guarded by mutex_
  bool stopped_ = false;  // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_EVENT_IO_THREAD_H_
