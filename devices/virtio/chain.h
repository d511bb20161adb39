// SPDX-License-Identifier: Apache-2.0
// One descriptor chain, already validated, seen as a stream of bytes the
// device may read followed by a stream it may write. A device never sees a
// guest address or a descriptor; it reads typed values, copies bytes, or takes
// host iovecs for the kernel.
//
// Threads: not thread-safe; it lives on the queue's I/O thread (iovecs may be
// used by the kernel until the chain is pushed). Lengths are bytes; a chain
// holds at most 2^32 - 1 bytes. Specification: Virtio 1.2, section 2.7.5.
#ifndef KVMLET_DEVICES_VIRTIO_CHAIN_H_
#define KVMLET_DEVICES_VIRTIO_CHAIN_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::virtio {

// Host ranges of one direction with a cursor. Both Reader and Writer move
// forward only.
class BufferCursor {
 public:
  uint32_t remaining() const { return remaining_; }
  // Bytes passed so far.
  uint32_t consumed() const { return consumed_; }
  // The next `length` bytes as iovecs for the kernel, cursor moved past them.
  // Fewer than asked when less remains.
  void TakeIovecs(uint32_t length, std::vector<iovec>& out);
  // Moves past `length` bytes; false (and to the end) when less remains.
  bool Skip(uint32_t length);

 protected:
  friend class DescriptorChain;
  void Add(const iovec& range);
  iovec TakePiece(uint32_t length);

  // Most chains have few buffers: those cost no allocation.
  absl::InlinedVector<iovec, 4> buffers_;
  size_t at_ = 0;      // current buffer
  size_t offset_ = 0;  // within it
  uint32_t remaining_ = 0;
  uint32_t consumed_ = 0;
};

class Reader : public BufferCursor {
 public:
  // Copies out; false and nothing moved when less than data.size() remains.
  [[nodiscard]] bool Read(std::span<std::byte> data);
  template <typename T>
  std::optional<T> Read() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (!Read(std::as_writable_bytes(std::span(&value, 1)))) return {};
    return value;
  }
};

class Writer : public BufferCursor {
 public:
  // Copies in; false and nothing written when less than data.size() remains.
  [[nodiscard]] bool Write(std::span<const std::byte> data);
  // Not for views of bytes: those are copied by the overload above, where this
  // one would hand their host pointer to the guest.
  template <typename T>
  requires(!std::is_convertible_v<const T&, std::span<const std::byte>>)
      [[nodiscard]] bool Write(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return Write(std::as_bytes(std::span(&value, 1)));
  }
  // A writer for the last `length` bytes, which this one loses (the status
  // byte of a block request). Nothing when less remains.
  std::optional<Writer> SplitTail(uint32_t length);
  // Bytes written so far, for the used ring.
  uint32_t written() const { return consumed_; }
};

class DescriptorChain {
 public:
  // Adds a validated host range; used by VirtQueue and tests.
  void AddReadable(const iovec& range);
  void AddWritable(const iovec& range);
  explicit DescriptorChain(uint16_t head) : head_(head) {}

  DescriptorChain(DescriptorChain&&) = default;
  DescriptorChain& operator=(DescriptorChain&&) = default;

  uint16_t head() const { return head_; }
  Reader& reader() { return reader_; }
  Writer& writer() { return writer_; }

 private:
  uint16_t head_;
  Reader reader_;
  Writer writer_;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_CHAIN_H_
