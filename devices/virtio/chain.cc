// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/chain.h"

#include <algorithm>
#include <cstring>

#include "vmm/memory/bus_errors.h"

namespace kvmlet::virtio {
namespace {

// Guest RAM was or will be touched by the copy beside it, and by nothing else:
// the compiler may not read or write it a second time.
// False when the host has lost a page of it.
bool CopyOnce(void* to, const void* from, size_t length) {
  const bool copied = Guarded([=] { std::memcpy(to, from, length); });
  asm volatile("" ::: "memory");
  return copied;
}

}  // namespace

void BufferCursor::Add(const iovec& range) {
  if (range.iov_len == 0) return;
  buffers_.push_back(range);
  remaining_ += static_cast<uint32_t>(range.iov_len);
}

// The next piece of at most `length` bytes, cursor moved past it. Only called
// while something remains.
iovec BufferCursor::TakePiece(uint32_t length) {
  const iovec& buffer = buffers_[at_];
  const size_t part =
      std::min<size_t>(buffer.iov_len - offset_, std::min(length, remaining_));
  const iovec piece{static_cast<std::byte*>(buffer.iov_base) + offset_, part};
  offset_ += part;
  if (offset_ == buffer.iov_len) {
    ++at_;
    offset_ = 0;
  }
  remaining_ -= static_cast<uint32_t>(part);
  consumed_ += static_cast<uint32_t>(part);
  return piece;
}

void BufferCursor::TakeIovecs(uint32_t length, std::vector<iovec>& out) {
  while (length > 0 && remaining_ > 0) {
    out.push_back(TakePiece(length));
    length -= static_cast<uint32_t>(out.back().iov_len);
  }
}

bool BufferCursor::Skip(uint32_t length) {
  const bool enough = length <= remaining_;
  while (length > 0 && remaining_ > 0) {
    length -= static_cast<uint32_t>(TakePiece(length).iov_len);
  }
  return enough;
}

bool Reader::Read(std::span<std::byte> data) {
  if (data.size() > remaining_) return false;
  while (!data.empty()) {
    const iovec piece = TakePiece(static_cast<uint32_t>(data.size()));
    if (!CopyOnce(data.data(), piece.iov_base, piece.iov_len)) return false;
    data = data.subspan(piece.iov_len);
  }
  return true;
}

bool Writer::Write(std::span<const std::byte> data) {
  if (data.size() > remaining_) return false;
  while (!data.empty()) {
    const iovec piece = TakePiece(static_cast<uint32_t>(data.size()));
    if (!CopyOnce(piece.iov_base, data.data(), piece.iov_len)) return false;
    data = data.subspan(piece.iov_len);
  }
  return true;
}

std::optional<Writer> Writer::SplitTail(uint32_t length) {
  if (length > remaining_) return std::nullopt;
  // The tail is found with a copy of this cursor that skips what stays here.
  Writer tail = *this;
  tail.Skip(remaining_ - length);
  tail.consumed_ = 0;
  remaining_ -= length;
  return tail;
}

void DescriptorChain::AddReadable(const iovec& range) { reader_.Add(range); }

void DescriptorChain::AddWritable(const iovec& range) { writer_.Add(range); }

}  // namespace kvmlet::virtio
