// SPDX-License-Identifier: Apache-2.0
#include "vmm/event/io_thread.h"

#include <pthread.h>

#include <csignal>
#include <latch>

#include "vmm/base/status_macros.h"

namespace kvmlet {

absl::StatusOr<std::unique_ptr<IoThread>> IoThread::Create(std::string name) {
  KVMLET_ASSIGN_OR_RETURN(std::unique_ptr<EventLoop> loop, EventLoop::Create());
  return std::unique_ptr<IoThread>(
      new IoThread(name.substr(0, 15), std::move(loop)));
}

IoThread::~IoThread() { Stop(); }

void IoThread::Stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
  thread_ = std::thread();
}

bool IoThread::running() const {
  const std::lock_guard lock(mutex_);
  return thread_.joinable();
}

void IoThread::Start() {
  const std::lock_guard lock(mutex_);
  if (thread_.joinable() || stopped_) return;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);  // blocked it would end the process
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { loop_->Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), name_.c_str());
  // Return only when the loop runs: RunSync then always means its thread.
  std::latch started(1);
  loop_->Post([&started] { started.count_down(); });
  started.wait();
}

}  // namespace kvmlet
