// SPDX-License-Identifier: Apache-2.0
// Parts of guest memory that go back to the host while the guest runs.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/fakes/real_madvise.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kSize = 64 * kPage;

GuestMemory Create(const BackingOptions& options) {
  const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, kSize}};
  auto memory = GuestMemory::Create(ranges, options);
  EXPECT_TRUE(memory.ok()) << memory.status();
  return *std::move(memory);
}

void Fill(const GuestMemory& memory) {
  for (uint64_t at = 0; at < kSize; at += kPage) {
    ASSERT_TRUE(memory.Store(Gpa{at}, at + 1));
  }
}

iovec Range(const GuestMemory& memory, uint64_t at, uint64_t length) {
  std::vector<iovec> ranges;
  EXPECT_TRUE(memory.Iovecs(Gpa{at}, length, ranges));
  return ranges.at(0);
}

// Discards four pages and the halves beside them; the halves stay.
void DiscardSome(const GuestMemory& memory) {
  Fill(memory);
  const auto freed =
      memory.Discard(Range(memory, 9 * kPage + kPage / 2, 4 * kPage + kPage));
  ASSERT_TRUE(freed.ok()) << freed.status();
  EXPECT_EQ(*freed, 4 * kPage);
}

void ExpectGone(const GuestMemory& memory) {
  for (uint64_t page = 0; page < kSize / kPage; ++page) {
    const bool gone = page >= 10 && page < 14;
    EXPECT_EQ(*memory.Load<uint64_t>(Gpa{page * kPage}),
              gone ? 0 : page * kPage + 1);
  }
}

TEST(GuestMemoryDiscardTest, AnonymousPagesReadAsZeroes) {
  const GuestMemory memory = Create({});
  EXPECT_TRUE(memory.discards_to_zero());
  DiscardSome(memory);
  ExpectGone(memory);
}

TEST(GuestMemoryDiscardTest, SharedPagesLeaveTheMemfd) {
  if (!MadviseIsReal()) GTEST_SKIP() << kNoRealMadvise;
  const GuestMemory memory =
      Create({.kind = BackingKind::kMemfd, .shared = true});
  EXPECT_TRUE(memory.discards_to_zero());
  DiscardSome(memory);
  // Before anybody reads: that brings shared pages back.
  struct stat st {};
  ASSERT_EQ(::fstat(memory.fd(), &st), 0);
  EXPECT_EQ(static_cast<uint64_t>(st.st_blocks) * 512, kSize - 4 * kPage);
  ExpectGone(memory);
}

TEST(GuestMemoryDiscardTest, APrivateFileComesBackAsItIs) {
  std::string path = testing::TempDir() + "/memoryXXXXXX";
  const UniqueFd fd(::mkstemp(path.data()));
  ASSERT_TRUE(fd.ok());
  ASSERT_EQ(::ftruncate(fd.get(), kSize), 0);
  const GuestMemory memory = Create({.kind = BackingKind::kFile, .file = path});
  EXPECT_FALSE(memory.discards_to_zero());
  DiscardSome(memory);
  ExpectGone(memory);
  std::filesystem::remove(path);
}

TEST(GuestMemoryDiscardTest, LessThanAPageStays) {
  const GuestMemory memory = Create({});
  Fill(memory);
  for (const uint64_t length : {uint64_t{0}, uint64_t{8}, kPage - 2}) {
    EXPECT_EQ(*memory.Discard(Range(memory, 2 * kPage, length + 1)), 0u);
  }
  EXPECT_EQ(*memory.Discard(Range(memory, 2 * kPage + 1, 2 * kPage - 2)), 0u);
  EXPECT_EQ(*memory.Load<uint64_t>(Gpa{2 * kPage}), 2 * kPage + 1);
}

}  // namespace
}  // namespace kvmlet
