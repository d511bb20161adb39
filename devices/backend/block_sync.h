// SPDX-License-Identifier: Apache-2.0
// The engine for hosts that refuse io_uring: each request is carried out with
// plain calls (preadv, pwritev, fallocate, fdatasync) when it is started.
//
// Threads: see BlockQueue. The calling thread waits for the disk.
#ifndef KVMLET_DEVICES_BACKEND_BLOCK_SYNC_H_
#define KVMLET_DEVICES_BACKEND_BLOCK_SYNC_H_

#include <deque>

#include "devices/backend/block_backend.h"
#include "devices/backend/block_steps.h"

namespace kvmlet {

class SyncBlockQueue : public BlockQueue {
 public:
  // `fd` stays the caller's and outlives the queue.
  SyncBlockQueue(int fd, const BlockSteps& steps) : fd_(fd), steps_(steps) {}

  void Start(BlockRequest& request) override;
  absl::Status Commit() override { return absl::OkStatus(); }
  BlockRequest* NextDone() override;
  bool MayHaveDone() const override { return !done_.empty(); }
  int done_fd() const override { return -1; }

 private:
  int fd_;
  BlockSteps steps_;
  std::deque<BlockRequest*> done_;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_BLOCK_SYNC_H_
