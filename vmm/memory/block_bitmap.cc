// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/block_bitmap.h"

#include <algorithm>
#include <bit>

namespace kvmlet {
namespace {

constexpr uint64_t kBits = 64;

}  // namespace

BlockBitmap::BlockBitmap(uint64_t size)
    : size_(size),
      words_(std::make_unique<std::atomic<uint64_t>[]>((size + kBits - 1) /
                                                       kBits)) {}

// Calls change(word, mask) for every word that the range touches.
template <typename Change>
void BlockBitmap::ForEachWord(uint64_t first, uint64_t count, Change change) {
  while (count > 0) {
    const uint64_t at = first % kBits;
    const uint64_t part = std::min(count, kBits - at);
    const uint64_t mask =
        part == kBits ? ~uint64_t{0} : ((uint64_t{1} << part) - 1) << at;
    change(words_[first / kBits], mask);
    first += part;
    count -= part;
  }
}

void BlockBitmap::Set(uint64_t first, uint64_t count) {
  ForEachWord(first, count, [](std::atomic<uint64_t>& word, uint64_t mask) {
    word.fetch_or(mask, std::memory_order_release);
  });
}

void BlockBitmap::Clear(uint64_t first, uint64_t count) {
  ForEachWord(first, count, [](std::atomic<uint64_t>& word, uint64_t mask) {
    word.fetch_and(~mask, std::memory_order_release);
  });
}

uint64_t BlockBitmap::Find(bool set, uint64_t first, uint64_t end) const {
  while (first < end) {
    const uint64_t at = first % kBits;
    uint64_t word = words_[first / kBits].load(std::memory_order_acquire);
    if (!set) word = ~word;
    word >>= at;
    if (word != 0) {
      return std::min(end,
                      first + static_cast<uint64_t>(std::countr_zero(word)));
    }
    first += kBits - at;
  }
  return end;
}

BlockRun BlockBitmap::NextRun(bool set, uint64_t first, uint64_t end) const {
  const uint64_t start = Find(set, first, end);
  return {start, Find(!set, start, end) - start};
}

}  // namespace kvmlet
