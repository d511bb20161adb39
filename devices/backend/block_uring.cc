// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/block_uring.h"

#include <glog/logging.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr uint32_t kMaxBuffers = 16;
constexpr int kMaxSubmitRetries = 1000;

bool HasOperations(io_uring& ring) {
  io_uring_probe* probe = ::io_uring_get_probe_ring(&ring);
  if (probe == nullptr) return false;
  bool all = true;
  for (const int operation :
       {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV, IORING_OP_WRITEV,
        IORING_OP_FALLOCATE, IORING_OP_FSYNC}) {
    all = all && ::io_uring_opcode_supported(probe, operation) != 0;
  }
  ::io_uring_free_probe(probe);
  return all;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockQueue>> UringBlockQueue::Create(
    int fd, const BlockSteps& steps, uint16_t depth) {
  std::unique_ptr<UringBlockQueue> queue(new UringBlockQueue(fd, steps));
  KVMLET_RETURN_IF_ERROR(queue->SetUp(depth));
  return queue;
}

// The ring is not tied to one thread (SINGLE_ISSUER): a reset may find the I/O
// thread gone and must still be able to wait for the kernel. The file is not
// registered with it either: the kernel takes rings down in the background, and
// the disk would stay locked for a while after this process has ended.
absl::Status UringBlockQueue::SetUp(uint16_t depth) {
  io_uring_params params{};
  params.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                 IORING_SETUP_SUBMIT_ALL;
  int rc = ::io_uring_queue_init_params(depth, &ring_, &params);
  if (rc == -EINVAL) {  // before Linux 5.19
    params = io_uring_params{};
    rc = ::io_uring_queue_init_params(depth, &ring_, &params);
  }
  if (rc != 0) return PosixError(-rc, "io_uring_setup");
  ring_open_ = true;
  if (!HasOperations(ring_)) {
    return PosixError(EOPNOTSUPP, "io_uring operations of a block device");
  }
  return absl::OkStatus();
}

// What was prepared and not submitted is dropped with the ring.
UringBlockQueue::~UringBlockQueue() {
  if (!ring_open_) return;
  while (submitted_ > 0) {
    io_uring_cqe* cqe = nullptr;
    const int rc = ::io_uring_wait_cqe(&ring_, &cqe);
    if (rc == -EINTR || rc == -EAGAIN) continue;
    // Going on would leave the kernel writing to memory that is about to go.
    CHECK_EQ(rc, 0) << "io_uring_enter";
    ::io_uring_cqe_seen(&ring_, cqe);
    --submitted_;
  }
  ::io_uring_queue_exit(&ring_);
}

void UringBlockQueue::Start(BlockRequest& request) {
  steps_.Begin(request);
  Continue(request);
}

void UringBlockQueue::Continue(BlockRequest& request) {
  while (!BlockSteps::Done(request)) {
    if (steps_.NeedsBuffer(request)) {
      if (buffers_ == kMaxBuffers) {
        waiting_.push_back(&request);
        return;
      }
      steps_.GiveBuffer(request);
      if (request.progress.buffer != nullptr) ++buffers_;
      continue;
    }
    const BlockStep step = steps_.Next(request);
    if (step.kind != BlockStep::Kind::kBlockDiscard) {
      Prepare(request, step);
      return;
    }
    // The ring has no such operation; it is a rare fallback.
    steps_.Advance(request, RunBlockStep(fd_, step));
  }
  finished_.push_back(&request);
}

void UringBlockQueue::Prepare(BlockRequest& request, const BlockStep& step) {
  // There is always room: the ring is as deep as the queue, and a request has
  // one operation at a time.
  io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
  CHECK(sqe != nullptr) << "more requests than the queue's depth";
  const auto length = static_cast<unsigned>(step.length);
  switch (step.kind) {
    case BlockStep::Kind::kRead:
      step.iovec_count == 1
          ? ::io_uring_prep_read(sqe, fd_, step.iovecs->iov_base, length,
                                 step.offset)
          : ::io_uring_prep_readv(sqe, fd_, step.iovecs, step.iovec_count,
                                  step.offset);
      break;
    case BlockStep::Kind::kWrite:
      step.iovec_count == 1
          ? ::io_uring_prep_write(sqe, fd_, step.iovecs->iov_base, length,
                                  step.offset)
          : ::io_uring_prep_writev(sqe, fd_, step.iovecs, step.iovec_count,
                                   step.offset);
      break;
    case BlockStep::Kind::kAllocate:
      ::io_uring_prep_fallocate(sqe, fd_, step.mode,
                                static_cast<off_t>(step.offset),
                                static_cast<off_t>(step.length));
      break;
    case BlockStep::Kind::kSync:
    case BlockStep::Kind::kBlockDiscard:  // never here
      ::io_uring_prep_fsync(sqe, fd_, IORING_FSYNC_DATASYNC);
      break;
  }
  ::io_uring_sqe_set_data(sqe, &request);
  ++prepared_;
}

absl::Status UringBlockQueue::Commit() {
  int retries = 0;
  while (prepared_ > 0) {
    const int rc = ::io_uring_submit(&ring_);
    if (rc > 0) {
      const auto taken = std::min(static_cast<uint32_t>(rc), prepared_);
      prepared_ -= taken;
      submitted_ += taken;
      continue;
    }
    // The kernel is short of memory for a moment, or was interrupted.
    const bool again = rc == -EINTR || rc == -EAGAIN || rc == -EBUSY;
    if (!again || ++retries > kMaxSubmitRetries) {
      return PosixError(rc < 0 ? -rc : EIO, "io_uring_enter");
    }
    ::sched_yield();
  }
  return absl::OkStatus();
}

bool UringBlockQueue::MayHaveDone() const {
  // The flag: completions wait for this thread to enter the kernel, which
  // NextDone then does.
  return !finished_.empty() || ::io_uring_cq_ready(&ring_) > 0 ||
         (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_TASKRUN) != 0;
}

BlockRequest* UringBlockQueue::NextDone() {
  io_uring_cqe* cqe = nullptr;
  while (finished_.empty() && ::io_uring_peek_cqe(&ring_, &cqe) == 0) {
    auto* request = static_cast<BlockRequest*>(::io_uring_cqe_get_data(cqe));
    const int32_t result = cqe->res;
    ::io_uring_cqe_seen(&ring_, cqe);
    --submitted_;
    const bool had_buffer = request->progress.buffer != nullptr;
    steps_.Advance(*request, result);
    if (!BlockSteps::Done(*request)) {
      Continue(*request);
      continue;
    }
    if (had_buffer) ReleaseBuffer();
    return request;
  }
  if (finished_.empty()) return nullptr;
  BlockRequest* request = finished_.front();
  finished_.pop_front();
  return request;
}

// A request freed its buffer: the next one that waits may go on.
void UringBlockQueue::ReleaseBuffer() {
  --buffers_;
  if (waiting_.empty()) return;
  BlockRequest* next = waiting_.front();
  waiting_.pop_front();
  Continue(*next);
}

}  // namespace kvmlet
