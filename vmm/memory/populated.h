// SPDX-License-Identifier: Apache-2.0
// Which parts of guest memory hold pages at all: what was never touched, or was
// given back to the host, reads as zeroes and need not be looked at. Looking
// would give it page tables, or pages of a hugetlb pool.
//
// Threads: any; what the guest touches meanwhile may or may not be there.
// Units: bytes. Errors: none, where the host does not say everything counts as
// populated. Specification: Documentation/admin-guide/mm/pagemap.rst;
// lseek(2), SEEK_DATA.
#ifndef KVMLET_VMM_MEMORY_POPULATED_H_
#define KVMLET_VMM_MEMORY_POPULATED_H_

#include <cstdint>
#include <vector>

#include "vmm/memory/ram_region.h"

namespace kvmlet {

// A part of a region, from its start.
struct PopulatedRun {
  uint64_t offset = 0;
  uint64_t size = 0;
  friend bool operator==(const PopulatedRun&, const PopulatedRun&) = default;
};

// Where a region's pages come from.
struct PageOrigin {
  int fd = -1;                   // of shared memory
  uint64_t page_size = 4096;     // a huge page of the hugetlb pool is larger
  bool discards_to_zero = true;  // there is nothing beneath but zeroes
};

// In order, apart from each other, multiples of the host's page.
std::vector<PopulatedRun> PopulatedRuns(const RamRegion& region,
                                        const PageOrigin& origin);

}  // namespace kvmlet

#endif  // KVMLET_VMM_MEMORY_POPULATED_H_
