// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/mapped_region.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

constexpr size_t k2MiB = 2u << 20;

// True while something is mapped at the page.
bool IsMapped(const std::byte* at) {
  unsigned char present = 0;
  return ::mincore(const_cast<std::byte*>(at), 4096, &present) == 0;
}

absl::StatusOr<MappedRegion> MapPage() {
  return MappedRegion::Map(4096, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

TEST(MappedRegionTest, UnmapsWhenItDies) {
  const std::byte* at = nullptr;
  {
    const auto region = MapPage();
    ASSERT_TRUE(region.ok());
    at = region->data();
    region->bytes()[4095] = std::byte{1};
    EXPECT_TRUE(IsMapped(at));
  }
  EXPECT_FALSE(IsMapped(at));
}

TEST(MappedRegionTest, MovingHandsOver) {
  MappedRegion from = *MapPage();
  std::byte* const at = from.data();
  MappedRegion to = *MapPage();
  const std::byte* const old = to.data();
  to = std::move(from);
  EXPECT_EQ(to.data(), at);
  EXPECT_EQ(to.size(), 4096u);
  EXPECT_FALSE(IsMapped(old));
  EXPECT_TRUE(IsMapped(at));
}

TEST(MappedRegionTest, ReservationIsAligned) {
  for (const size_t alignment : {size_t{4096}, k2MiB, size_t{1} << 30}) {
    const auto region = MappedRegion::Reserve(3 * 4096, alignment);
    ASSERT_TRUE(region.ok());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(region->data()) % alignment, 0u);
    EXPECT_EQ(region->size(), 3u * 4096);
  }
}

TEST(MappedRegionTest, AReservationThatWrapsIsRefused) {
  EXPECT_FALSE(MappedRegion::Reserve(SIZE_MAX - 4095, k2MiB).ok());
  EXPECT_FALSE(MappedRegion::Reserve(SIZE_MAX - k2MiB + 1, k2MiB).ok());
}

TEST(MappedRegionTest, RefusalByTheHostSaysHowMuch) {
  const auto region = MappedRegion::Map(size_t{1} << 60, PROT_READ,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_FALSE(region.ok());
  EXPECT_NE(region.status().message().find("1152921504606846976"),
            absl::string_view::npos);
  EXPECT_EQ(ExitStatusFor(region.status()), 71);
}

}  // namespace
}  // namespace kvmlet
