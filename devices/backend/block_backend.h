// SPDX-License-Identifier: Apache-2.0
// What a disk is to the block device in front of it: a geometry, and queues
// that carry out requests on host buffers. OpenDisk() makes one from a raw
// image file or a block device.
//
// Threads: BlockBackend's members from any thread; a BlockQueue and the
// requests it holds belong to one thread at a time. Units: bytes unless a name
// says sectors. Errors: a request carries the host's errno.
#ifndef KVMLET_DEVICES_BACKEND_BLOCK_BACKEND_H_
#define KVMLET_DEVICES_BACKEND_BLOCK_BACKEND_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvmlet {

// What the user asked for (one --disk).
struct DiskOptions {
  std::string path;
  std::string id;               // names the disk in log lines
  std::string flag = "--disk";  // the one to blame
  std::string serial;           // at most 20 bytes
  bool read_only = false;
  bool direct = false;       // O_DIRECT: past the host's page cache
  uint16_t queues = 1;       // 0 counts as 1
  bool synchronous = false;  // preadv and pwritev even where io_uring works
};

struct BlockGeometry {
  uint64_t size = 0;
  uint32_t logical_block = 512;
  uint32_t physical_block = 512;
  uint32_t minimum_io = 0;  // 0: unknown
  uint32_t optimal_io = 0;  // 0: unknown
  // Offsets and lengths of requests must be multiples of this.
  uint32_t alignment = 512;
};

enum class BlockOp { kRead, kWrite, kFlush, kDiscard, kWriteZeroes };

struct FreeDeleter {
  void operator()(std::byte* memory) const { std::free(memory); }
};

// One request. The caller fills the first part, a BlockQueue owns `progress`.
struct BlockRequest {
  BlockOp op = BlockOp::kRead;
  uint64_t offset = 0;
  uint64_t length = 0;        // of kRead and kWrite: the sum of the iovecs
  std::vector<iovec> iovecs;  // kRead, kWrite; changed while it runs
  bool may_unmap = false;     // kWriteZeroes may leave a hole
  bool durable = false;       // on stable storage before it is done
  uint32_t tag = 0;           // the caller's
  int error = 0;              // when done: 0 or the host's errno

  struct Progress {
    enum class Phase {
      kTransfer,      // between the iovecs and the file
      kAllocate,      // fallocate
      kZeroFill,      // writes zeroes where fallocate cannot
      kBlockDiscard,  // BLKDISCARD where fallocate cannot
      kSync,
      kDone,
    };
    Phase phase = Phase::kDone;
    uint64_t done = 0;  // bytes of `length`
    size_t next_iovec = 0;
    uint32_t retries = 0;  // in a row, without progress
    iovec single{};        // the step's range when it is not in `iovecs`
    // Aligned stand-in for the iovecs, or a piece of zeroes.
    std::unique_ptr<std::byte, FreeDeleter> buffer;
  };
  Progress progress;
};

// Carries out requests, many at a time, for one thread.
class BlockQueue {
 public:
  // Waits until the kernel holds no request; none is finished after that.
  virtual ~BlockQueue() = default;

  // Accepts a request, which must stay where it is until NextDone returns it
  // or the queue is gone. At most the queue's depth of them may be inside.
  virtual void Start(BlockRequest& request) = 0;
  // Gives everything that waits to the kernel, with one call. An error is
  // for good: the queue is then only fit to be destroyed.
  virtual absl::Status Commit() = 0;
  // The next finished request; nullptr when none is finished now. It may
  // leave work for Commit.
  virtual BlockRequest* NextDone() = 0;
  // A look without a system call; true when NextDone may have something.
  virtual bool MayHaveDone() const = 0;
  // Polls readable when NextDone may have something; -1 when every request is
  // finished by the next Commit.
  virtual int done_fd() const = 0;
};

class BlockBackend {
 public:
  virtual ~BlockBackend() = default;

  virtual bool read_only() const = 0;
  // As it was when the disk was opened.
  virtual const BlockGeometry& geometry() const = 0;
  // Asks the host for the size again; an error when it is unusable.
  virtual absl::StatusOr<uint64_t> ReadSize() const = 0;
  // `depth` requests at most at a time.
  virtual absl::StatusOr<std::unique_ptr<BlockQueue>> NewQueue(
      uint16_t depth) = 0;
};

// Opens a raw image or a block device, locked against other writers. Errors
// name the --disk and what to change.
absl::StatusOr<std::unique_ptr<BlockBackend>> OpenDisk(
    const DiskOptions& options);

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_BLOCK_BACKEND_H_
