// SPDX-License-Identifier: Apache-2.0
// Whether madvise() does here what it says: qemu-user, in which the tests of
// another architecture run, answers that it did and leaves the pages alone.
// Any thread.
#ifndef KVMLET_TESTS_FAKES_REAL_MADVISE_H_
#define KVMLET_TESTS_FAKES_REAL_MADVISE_H_

#include <sys/mman.h>

namespace kvmlet {

// For GTEST_SKIP().
inline constexpr char kNoRealMadvise[] =
    "madvise() has no effect here: an emulator of user programs";

// Takes a shared page away and looks whether it is gone.
inline bool MadviseIsReal() {
  constexpr size_t kLength = 4096;
  void* const page = ::mmap(nullptr, kLength, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  auto* const byte = static_cast<volatile char*>(page);
  *byte = 1;
  const bool gone = ::madvise(page, kLength, MADV_REMOVE) == 0 && *byte == 0;
  ::munmap(page, kLength);
  return gone;
}

}  // namespace kvmlet

#endif  // KVMLET_TESTS_FAKES_REAL_MADVISE_H_
