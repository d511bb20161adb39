// SPDX-License-Identifier: Apache-2.0
// Which blocks of a memory device are plugged: one bit a block, written by one
// thread at a time and read by any without a lock.
//
// Threads: readers any; Set and Clear one at a time. A range must lie inside;
// what was stored before Set is visible to who sees the bit.
#ifndef KVMLET_VMM_MEMORY_BLOCK_BITMAP_H_
#define KVMLET_VMM_MEMORY_BLOCK_BITMAP_H_

#include <atomic>
#include <cstdint>
#include <memory>

namespace kvmlet {

struct BlockRun {
  uint64_t first = 0;
  uint64_t count = 0;
  friend bool operator==(const BlockRun&, const BlockRun&) = default;
};

class BlockBitmap {
 public:
  explicit BlockBitmap(uint64_t size);

  uint64_t size() const { return size_; }
  void Set(uint64_t first, uint64_t count);
  void Clear(uint64_t first, uint64_t count);

  bool All(uint64_t first, uint64_t count) const {
    return Find(false, first, first + count) == first + count;
  }
  bool None(uint64_t first, uint64_t count) const {
    return Find(true, first, first + count) == first + count;
  }
  // The first block of [first, end) that is set (or not); `end` when none is.
  uint64_t Find(bool set, uint64_t first, uint64_t end) const;
  // The first run of blocks that are set (or not) in [first, end); its count
  // is 0 when there is none.
  BlockRun NextRun(bool set, uint64_t first, uint64_t end) const;

 private:
  template <typename Change>
  void ForEachWord(uint64_t first, uint64_t count, Change change);

  uint64_t size_;
  std::unique_ptr<std::atomic<uint64_t>[]> words_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_BLOCK_BITMAP_H_
