// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/block_steps.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>

#include "vmm/memory/bus_errors.h"

namespace kvmlet {
namespace {

using Phase = BlockRequest::Progress::Phase;

constexpr uint32_t kMaxIovecs = 1024;  // the kernel's UIO_MAXIOV
constexpr uint32_t kMaxRetries = 1000;
constexpr size_t kBufferAlignment = 4096;

// The request's iovecs as one stream: drops its first `bytes`.
void DropBytes(BlockRequest& request, uint64_t bytes) {
  BlockRequest::Progress& progress = request.progress;
  while (bytes > 0) {
    iovec& range = request.iovecs[progress.next_iovec];
    const uint64_t part = std::min<uint64_t>(bytes, range.iov_len);
    range.iov_base = static_cast<std::byte*>(range.iov_base) + part;
    range.iov_len -= part;
    bytes -= part;
    if (range.iov_len == 0) ++progress.next_iovec;
  }
}

// Copies the first `bytes` of that stream to or from the buffer: the only
// place where the monitor itself moves a disk's bytes. False when the host has
// lost a page of the guest's.
bool CopyStream(BlockRequest& request, uint64_t bytes, bool to_buffer) {
  std::byte* buffer = request.progress.buffer.get();
  for (size_t i = request.progress.next_iovec; bytes > 0; ++i) {
    const iovec& range = request.iovecs[i];
    const uint64_t part = std::min<uint64_t>(bytes, range.iov_len);
    const bool copied = Guarded([&] {
      to_buffer ? std::memcpy(buffer, range.iov_base, part)
                : std::memcpy(range.iov_base, buffer, part);
    });
    if (!copied) return false;
    buffer += part;
    bytes -= part;
  }
  return true;
}

int AllocateMode(const BlockRequest& request) {
  const bool hole = request.op == BlockOp::kDiscard || request.may_unmap;
  return FALLOC_FL_KEEP_SIZE |
         (hole ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
}

}  // namespace

void BlockSteps::Begin(BlockRequest& request) const {
  request.error = 0;
  request.progress.done = 0;
  request.progress.next_iovec = 0;
  request.progress.retries = 0;
  request.progress.buffer.reset();
  switch (request.op) {
    case BlockOp::kRead:
    case BlockOp::kWrite:
      request.progress.phase = Phase::kTransfer;
      break;
    case BlockOp::kDiscard:
    case BlockOp::kWriteZeroes:
      request.progress.phase = Phase::kAllocate;
      break;
    case BlockOp::kFlush:
      request.progress.phase = Phase::kSync;
      return;
  }
  if (request.length == 0) FinishData(request);
}

bool BlockSteps::Aligned(const BlockRequest& request) const {
  if (traits_.memory_alignment <= 1 && traits_.offset_alignment <= 1) {
    return true;
  }
  const auto& iovecs = request.iovecs;
  return std::all_of(iovecs.begin(), iovecs.end(), [this](const iovec& range) {
    return std::bit_cast<uintptr_t>(range.iov_base) %
                   traits_.memory_alignment ==
               0 &&
           range.iov_len % traits_.offset_alignment == 0;
  });
}

bool BlockSteps::NeedsBuffer(const BlockRequest& request) const {
  if (request.progress.buffer != nullptr) return false;
  return request.progress.phase == Phase::kZeroFill ||
         (request.progress.phase == Phase::kTransfer && !Aligned(request));
}

void BlockSteps::GiveBuffer(BlockRequest& request) const {
  auto* buffer = static_cast<std::byte*>(
      std::aligned_alloc(kBufferAlignment, kStepBufferBytes));
  if (buffer == nullptr) {
    Fail(request, ENOMEM);
    return;
  }
  if (request.progress.phase == Phase::kZeroFill) {
    std::memset(buffer, 0, kStepBufferBytes);
  }
  request.progress.buffer.reset(buffer);
}

BlockStep BlockSteps::Next(BlockRequest& request) const {
  switch (request.progress.phase) {
    case Phase::kTransfer:
    case Phase::kZeroFill:
      return NextTransfer(request);
    case Phase::kAllocate:
      return {.kind = BlockStep::Kind::kAllocate,
              .offset = request.offset,
              .length = request.length,
              .mode = AllocateMode(request)};
    case Phase::kBlockDiscard:
      return {.kind = BlockStep::Kind::kBlockDiscard,
              .offset = request.offset,
              .length = request.length};
    case Phase::kSync:
    case Phase::kDone:
      break;
  }
  return {.kind = BlockStep::Kind::kSync};
}

BlockStep BlockSteps::NextTransfer(BlockRequest& request) const {
  BlockRequest::Progress& progress = request.progress;
  BlockStep step{.kind = request.op == BlockOp::kRead ? BlockStep::Kind::kRead
                                                      : BlockStep::Kind::kWrite,
                 .offset = request.offset + progress.done,
                 .length = request.length - progress.done};
  if (progress.buffer != nullptr) {
    step.length = std::min<uint64_t>(step.length, kStepBufferBytes);
    if (request.op == BlockOp::kWrite &&
        !CopyStream(request, step.length, true)) {
      Fail(request, EFAULT);
      return {.kind = BlockStep::Kind::kSync};
    }
    progress.single = {progress.buffer.get(), step.length};
    step.iovecs = &progress.single;
    step.iovec_count = 1;
    return step;
  }
  // Whole iovecs as long as they fit; a first one that is too long, alone and
  // in part.
  const iovec* first = &request.iovecs[progress.next_iovec];
  if (first->iov_len > kMaxStepBytes) {
    step.length = kMaxStepBytes;
    progress.single = {first->iov_base, kMaxStepBytes};
    step.iovecs = &progress.single;
    step.iovec_count = 1;
    return step;
  }
  const size_t left = request.iovecs.size() - progress.next_iovec;
  const auto most = static_cast<uint32_t>(std::min<size_t>(left, kMaxIovecs));
  step.iovecs = first;
  step.length = 0;
  while (step.iovec_count < most &&
         first[step.iovec_count].iov_len <= kMaxStepBytes - step.length) {
    step.length += first[step.iovec_count++].iov_len;
  }
  return step;
}

void BlockSteps::Advance(BlockRequest& request, int64_t result) const {
  BlockRequest::Progress& progress = request.progress;
  if (result == -EINTR || result == -EAGAIN) {
    if (++progress.retries > kMaxRetries) Fail(request, EIO);
    return;
  }
  progress.retries = 0;
  const int error = result < 0 ? static_cast<int>(-result) : 0;
  if (progress.phase == Phase::kAllocate ||
      progress.phase == Phase::kBlockDiscard) {
    AdvanceAllocate(request, error);
    return;
  }
  if (error != 0) {
    Fail(request, error);
  } else if (progress.phase == Phase::kSync) {
    progress.phase = Phase::kDone;
  } else if (result == 0) {
    Fail(request, EIO);  // the end of a file that became shorter
  } else {
    AdvanceTransfer(request, static_cast<uint64_t>(result));
  }
  if (Done(request)) progress.buffer.reset();
}

void BlockSteps::AdvanceTransfer(BlockRequest& request, uint64_t bytes) const {
  BlockRequest::Progress& progress = request.progress;
  bytes = std::min(bytes, request.length - progress.done);
  if (progress.phase == Phase::kTransfer) {
    if (progress.buffer != nullptr && request.op == BlockOp::kRead &&
        !CopyStream(request, bytes, false)) {
      return Fail(request, EFAULT);
    }
    DropBytes(request, bytes);
  }
  progress.done += bytes;
  if (progress.done == request.length) FinishData(request);
}

// fallocate's fallbacks. A discard is advice: where neither the file nor the
// device can do it, it is done by doing nothing.
void BlockSteps::AdvanceAllocate(BlockRequest& request, int error) const {
  BlockRequest::Progress& progress = request.progress;
  if (error == 0) {
    FinishData(request);
  } else if (error != EOPNOTSUPP && error != ENOSYS && error != ENOTTY) {
    Fail(request, error);
  } else if (request.op == BlockOp::kWriteZeroes) {
    progress.phase = Phase::kZeroFill;
  } else if (traits_.block_device && progress.phase == Phase::kAllocate) {
    progress.phase = Phase::kBlockDiscard;
  } else {
    FinishData(request);
  }
}

void BlockSteps::FinishData(BlockRequest& request) const {
  request.progress.phase = request.durable ? Phase::kSync : Phase::kDone;
}

void BlockSteps::Fail(BlockRequest& request, int error) {
  request.error = error;
  request.progress.phase = Phase::kDone;
  request.progress.buffer.reset();
}

int64_t RunBlockStep(int fd, const BlockStep& step) {
  const auto offset = static_cast<off_t>(step.offset);
  const auto count = static_cast<int>(step.iovec_count);
  int64_t result = -1;
  switch (step.kind) {
    case BlockStep::Kind::kRead:
      result = ::preadv(fd, step.iovecs, count, offset);
      break;
    case BlockStep::Kind::kWrite:
      result = ::pwritev(fd, step.iovecs, count, offset);
      break;
    case BlockStep::Kind::kAllocate:
      result =
          ::fallocate(fd, step.mode, offset, static_cast<off_t>(step.length));
      break;
    case BlockStep::Kind::kBlockDiscard: {
      uint64_t range[2] = {step.offset, step.length};
      result = ::ioctl(fd, BLKDISCARD, range);
      break;
    }
    case BlockStep::Kind::kSync:
      result = ::fdatasync(fd);
      break;
  }
  return result < 0 ? -errno : result;
}

}  // namespace kvmlet
