// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/guest_memory.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <thread>
#include <vector>

namespace kvmlet {
namespace {

constexpr uint64_t kPage = 4096;

// [0, 4 pages), a hole, [8 pages, 12 pages), [12 pages, 14 pages).
GuestMemory MakeMemory() {
  const std::array<RamRange, 3> ranges{RamRange{Gpa{0}, 4 * kPage},
                                       RamRange{Gpa{8 * kPage}, 4 * kPage},
                                       RamRange{Gpa{12 * kPage}, 2 * kPage}};
  return *GuestMemory::Create(ranges, {});
}

TEST(GuestMemoryTest, StartsAsZeroes) {
  const GuestMemory memory = MakeMemory();
  std::vector<std::byte> bytes(4 * kPage, std::byte{1});
  ASSERT_TRUE(memory.Read(Gpa{0}, bytes));
  EXPECT_EQ(bytes, std::vector<std::byte>(4 * kPage));
  EXPECT_EQ(memory.size(), 10 * kPage);
}

TEST(GuestMemoryTest, KeepsWhatIsWritten) {
  const GuestMemory memory = MakeMemory();
  ASSERT_TRUE(memory.Store(Gpa{8 * kPage + 3}, uint64_t{0x1122334455667788}));
  EXPECT_EQ(memory.Load<uint64_t>(Gpa{8 * kPage + 3}), 0x1122334455667788u);
  EXPECT_EQ(memory.Load<uint8_t>(Gpa{8 * kPage + 3}), 0x88);
}

TEST(GuestMemoryTest, LastByteIsInsideTheNextIsNot) {
  const GuestMemory memory = MakeMemory();
  EXPECT_TRUE(memory.Contains(Gpa{4 * kPage - 1}, 1));
  EXPECT_FALSE(memory.Contains(Gpa{4 * kPage - 1}, 2));
  EXPECT_FALSE(memory.Contains(Gpa{4 * kPage}, 1));
  EXPECT_FALSE(memory.Contains(Gpa{8 * kPage - 1}, 2));
  EXPECT_EQ(memory.Load<uint64_t>(Gpa{4 * kPage - 7}), std::nullopt);
  EXPECT_FALSE(memory.Store(Gpa{4 * kPage - 7}, uint64_t{0}));
}

TEST(GuestMemoryTest, AddressesThatWrapAreOutside) {
  const GuestMemory memory = MakeMemory();
  EXPECT_FALSE(memory.Contains(Gpa{UINT64_MAX}, 1));
  EXPECT_FALSE(memory.Contains(Gpa{UINT64_MAX}, 2));
  EXPECT_FALSE(memory.Contains(Gpa{0}, UINT64_MAX));
  EXPECT_FALSE(memory.Contains(Gpa{kPage}, UINT64_MAX - kPage + 1));
  EXPECT_FALSE(memory.Contains(Gpa{UINT64_MAX - 7}, 16));
  EXPECT_EQ(memory.Load<uint64_t>(Gpa{UINT64_MAX - 3}), std::nullopt);
}

TEST(GuestMemoryTest, AFailedAccessTouchesNothing) {
  const GuestMemory memory = MakeMemory();
  std::array<std::byte, 8> bytes{};
  bytes.fill(std::byte{0x5a});
  EXPECT_FALSE(memory.Write(Gpa{4 * kPage - 4}, bytes));
  EXPECT_EQ(memory.Load<uint32_t>(Gpa{4 * kPage - 4}), 0u);
  EXPECT_FALSE(memory.Read(Gpa{4 * kPage - 4}, bytes));
  EXPECT_EQ(bytes[0], std::byte{0x5a});
  EXPECT_FALSE(memory.Zero(Gpa{4 * kPage - 4}, 5));
}

TEST(GuestMemoryTest, ZeroClearsExactlyWhatItIsTold) {
  const GuestMemory memory = MakeMemory();
  ASSERT_TRUE(memory.Store(Gpa{0}, UINT64_MAX));
  ASSERT_TRUE(memory.Zero(Gpa{2}, 3));
  EXPECT_EQ(memory.Load<uint64_t>(Gpa{0}), 0xffffff000000ffffu);
}

TEST(GuestMemoryTest, EmptyAccessesSucceedInsideRam) {
  const GuestMemory memory = MakeMemory();
  EXPECT_TRUE(memory.Read(Gpa{16}, {}));
  EXPECT_TRUE(memory.Zero(Gpa{4 * kPage}, 0));  // one past the end
  EXPECT_FALSE(memory.Zero(Gpa{5 * kPage}, 0));
}

TEST(GuestMemoryTest, RingIndicesMustBeAligned) {
  const GuestMemory memory = MakeMemory();
  EXPECT_TRUE(memory.StoreRelease16(Gpa{6}, 0xbeef));
  EXPECT_EQ(memory.LoadAcquire16(Gpa{6}), 0xbeef);
  EXPECT_FALSE(memory.StoreRelease16(Gpa{7}, 1));
  EXPECT_EQ(memory.LoadAcquire16(Gpa{7}), std::nullopt);
  EXPECT_EQ(memory.LoadAcquire16(Gpa{4 * kPage}), std::nullopt);
}

TEST(GuestMemoryTest, IovecsOfOneRegion) {
  const GuestMemory memory = MakeMemory();
  std::vector<iovec> ranges;
  ASSERT_TRUE(memory.Iovecs(Gpa{16}, 100, ranges));
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].iov_base, memory.regions()[0].host + 16);
  EXPECT_EQ(ranges[0].iov_len, 100u);
}

TEST(GuestMemoryTest, IovecsGoOnInTheRegionThatTouches) {
  const GuestMemory memory = MakeMemory();
  std::vector<iovec> ranges;
  ASSERT_TRUE(memory.Iovecs(Gpa{12 * kPage - 10}, 30, ranges));
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].iov_len, 10u);
  EXPECT_EQ(ranges[1].iov_base, memory.regions()[2].host);
  EXPECT_EQ(ranges[1].iov_len, 20u);
}

TEST(GuestMemoryTest, IovecsIntoAHoleAppendNothing) {
  const GuestMemory memory = MakeMemory();
  std::vector<iovec> ranges(1);
  EXPECT_FALSE(memory.Iovecs(Gpa{4 * kPage - 10}, 30, ranges));
  EXPECT_FALSE(memory.Iovecs(Gpa{12 * kPage - 10}, 3 * kPage, ranges));
  EXPECT_FALSE(memory.Iovecs(Gpa{UINT64_MAX}, 2, ranges));
  EXPECT_FALSE(memory.Iovecs(Gpa{0}, UINT64_MAX, ranges));
  EXPECT_EQ(ranges.size(), 1u);
}

TEST(GuestMemoryTest, EveryLengthAtEveryEdgeAgreesWithArithmetic) {
  const GuestMemory memory = MakeMemory();
  const auto inside = [](uint64_t at, uint64_t length) {
    const auto in = [=](uint64_t base, uint64_t end) {
      return at >= base && at <= end && length <= end - at;
    };
    return in(0, 4 * kPage) || in(8 * kPage, 12 * kPage) ||
           in(12 * kPage, 14 * kPage);
  };
  for (const uint64_t edge :
       {0 * kPage, 4 * kPage, 8 * kPage, 12 * kPage, 14 * kPage}) {
    for (uint64_t step = 0; step < 16; ++step) {
      for (uint64_t length = 1; length < 16; ++length) {
        const uint64_t at = edge + step - 8;  // wraps below zero
        EXPECT_EQ(memory.Contains(Gpa{at}, length), inside(at, length))
            << at << " " << length;
      }
    }
  }
}

TEST(GuestMemoryTest, IndexIsPublishedAfterItsData) {
  const GuestMemory memory = MakeMemory();
  constexpr uint16_t kRounds = 8'000;  // slots in the first region
  std::thread guest([&memory] {
    for (uint16_t i = 1; i <= kRounds; ++i) {
      EXPECT_TRUE(memory.StoreRelease16(Gpa{2ull * i}, i));
      EXPECT_TRUE(memory.StoreRelease16(Gpa{0}, i));
    }
  });
  uint16_t seen = 0;
  while (seen < kRounds) {
    seen = *memory.LoadAcquire16(Gpa{0});
    if (seen == 0) continue;
    EXPECT_EQ(memory.LoadAcquire16(Gpa{2ull * seen}), seen);
  }
  guest.join();
}

}  // namespace
}  // namespace kvmlet
