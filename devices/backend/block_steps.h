// SPDX-License-Identifier: Apache-2.0
// Breaks a block request into system calls, and knows what comes after each
// result: the rest of a short transfer, a retry, zeroes written by hand where
// the file system cannot allocate them, a sync. Both engines (io_uring and
// plain calls) run on it, so they differ only in who makes the call.
//
// Threads: const and thread-safe; a request belongs to one thread. Units:
// bytes. Errors: a request ends with 0 or a positive errno in `error`.
#ifndef KVMLET_DEVICES_BACKEND_BLOCK_STEPS_H_
#define KVMLET_DEVICES_BACKEND_BLOCK_STEPS_H_

#include <sys/uio.h>

#include <cstdint>

#include "devices/backend/block_backend.h"

namespace kvmlet {

// One system call.
struct BlockStep {
  enum class Kind { kRead, kWrite, kAllocate, kBlockDiscard, kSync };
  Kind kind = Kind::kSync;
  uint64_t offset = 0;
  uint64_t length = 0;
  const iovec* iovecs = nullptr;  // kRead, kWrite
  uint32_t iovec_count = 0;
  int mode = 0;  // kAllocate: of fallocate
};

// What the file asks of a request.
struct BlockFileTraits {
  bool block_device = false;
  // O_DIRECT: host addresses and lengths must be multiples of this, else the
  // bytes go through a buffer. 1 without it.
  uint32_t memory_alignment = 1;
  uint32_t offset_alignment = 1;
};

// At most so many bytes a transfer step: it bounds how long one call may take.
inline constexpr uint64_t kMaxStepBytes = 4u << 20;
// Size of a buffer, see NeedsBuffer.
inline constexpr uint32_t kStepBufferBytes = 64u << 10;

class BlockSteps {
 public:
  explicit BlockSteps(const BlockFileTraits& traits) : traits_(traits) {}

  // Resets the request's progress.
  void Begin(BlockRequest& request) const;
  static bool Done(const BlockRequest& request) {
    return request.progress.phase == BlockRequest::Progress::Phase::kDone;
  }
  // True when the next step needs a buffer that the request has not got; the
  // engine limits how many there are.
  bool NeedsBuffer(const BlockRequest& request) const;
  // Allocates it. Fails the request when there is no memory.
  void GiveBuffer(BlockRequest& request) const;
  // The next call; the request is not done and has the buffer it needs. It
  // stays valid until Advance.
  BlockStep Next(BlockRequest& request) const;
  // Takes the call's result: bytes or 0, or -errno.
  void Advance(BlockRequest& request, int64_t result) const;
  // Ends a request with an errno.
  static void Fail(BlockRequest& request, int error);

 private:
  bool Aligned(const BlockRequest& request) const;
  BlockStep NextTransfer(BlockRequest& request) const;
  void AdvanceTransfer(BlockRequest& request, uint64_t bytes) const;
  void AdvanceAllocate(BlockRequest& request, int error) const;
  void FinishData(BlockRequest& request) const;

  BlockFileTraits traits_;
};

// Makes the call; bytes or 0, or -errno.
int64_t RunBlockStep(int fd, const BlockStep& step);

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_BLOCK_STEPS_H_
