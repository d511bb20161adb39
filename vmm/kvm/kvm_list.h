// SPDX-License-Identifier: Apache-2.0
// KVM's lists: a count, padding, then entries of one kind (CPUID, MSRs,
// interrupt routes). The kernel's own structures end in a flexible array that
// some versions of its headers declare with an empty struct, which C++ gives a
// size: layout and request numbers would be wrong. So requests on lists are
// numbered here by KvmListHeader, which has the right size.
//
// Value type, not thread-safe.
#ifndef KVMLET_VMM_KVM_KVM_LIST_H_
#define KVMLET_VMM_KVM_KVM_LIST_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace kvmlet {

struct KvmListHeader {
  uint32_t count = 0;
  uint32_t padding = 0;
};
static_assert(sizeof(KvmListHeader) == 8);

template <typename Entry>
class KvmList {
 public:
  // Room for so many entries; the list is empty.
  explicit KvmList(size_t capacity)
      : words_(1 + (capacity * sizeof(Entry) + 7) / 8) {}

  // As ioctl() takes it: the entries follow.
  KvmListHeader& header() {
    return *reinterpret_cast<KvmListHeader*>(words_.data());
  }
  // For requests that fill the list: the kernel sees this many entries.
  void set_count(size_t count) {
    header().count = static_cast<uint32_t>(count);
  }
  void Add(const Entry& entry) { data()[header().count++] = entry; }
  std::span<Entry> entries() { return {data(), header().count}; }

 private:
  Entry* data() { return reinterpret_cast<Entry*>(words_.data() + 1); }
  std::vector<uint64_t> words_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_KVM_KVM_LIST_H_
