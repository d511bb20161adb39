// SPDX-License-Identifier: Apache-2.0
// The io_uring engine: one small ring a queue, requests straight between the
// guest's pages and the file, one system call a batch. Completions signal an
// eventfd.
//
// Threads: see BlockQueue; the destructor may run on another thread than the
// one that submitted. Memory: the ring (about 16 KiB), and at most
// 1 MiB of buffers while unaligned O_DIRECT requests or zero-filling run.
#ifndef KVMLET_DEVICES_BACKEND_BLOCK_URING_H_
#define KVMLET_DEVICES_BACKEND_BLOCK_URING_H_

#include <liburing.h>

#include <deque>
#include <memory>

#include "absl/status/statusor.h"
#include "devices/backend/block_backend.h"
#include "devices/backend/block_steps.h"

namespace kvmlet {

class UringBlockQueue : public BlockQueue {
 public:
  // Fails when the kernel or a seccomp filter refuses io_uring, or the kernel
  // lacks an operation. `fd` stays the caller's and outlives the queue.
  static absl::StatusOr<std::unique_ptr<BlockQueue>> Create(
      int fd, const BlockSteps& steps, uint16_t depth);
  ~UringBlockQueue() override;

  void Start(BlockRequest& request) override;
  absl::Status Commit() override;
  BlockRequest* NextDone() override;
  bool MayHaveDone() const override;
  // The ring itself: unlike an eventfd it is not readable any more once its
  // completions were taken, so that nobody is woken for nothing.
  int done_fd() const override { return ring_.ring_fd; }

 private:
  UringBlockQueue(int fd, const BlockSteps& steps) : fd_(fd), steps_(steps) {}
  absl::Status SetUp(uint16_t depth);
  void Continue(BlockRequest& request);
  void Prepare(BlockRequest& request, const BlockStep& step);
  void ReleaseBuffer();

  const int fd_;
  const BlockSteps steps_;
  io_uring ring_{};
  bool ring_open_ = false;
  uint32_t prepared_ = 0;   // in the submission ring
  uint32_t submitted_ = 0;  // in the kernel
  uint32_t buffers_ = 0;
  std::deque<BlockRequest*> waiting_;   // for a buffer
  std::deque<BlockRequest*> finished_;  // without a completion of their own
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_BLOCK_URING_H_
