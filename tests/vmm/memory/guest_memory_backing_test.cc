// SPDX-License-Identifier: Apache-2.0
// Where guest memory comes from: anonymous pages, memfds, files, huge pages.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr uint64_t kPage = 4096;
constexpr uint64_t k2MiB = 2ull << 20;
constexpr uint64_t k1GiB = 1ull << 30;

class GuestMemoryBackingTest : public testing::Test {
 protected:
  GuestMemoryBackingTest() {
    std::string name = testing::TempDir() + "/memoryXXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~GuestMemoryBackingTest() override { std::filesystem::remove_all(folder_); }

  static absl::StatusOr<GuestMemory> Create(uint64_t size,
                                            const BackingOptions& options) {
    const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, size}};
    return GuestMemory::Create(ranges, options);
  }
  static uint64_t ReadFile(const std::string& path, off_t at) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    uint64_t value = 0;
    EXPECT_EQ(::pread(fd.get(), &value, sizeof(value), at), 8);
    return value;
  }
  static uint64_t ReadNumber(const char* path) {
    uint64_t value = 0;
    std::ifstream(path) >> value;
    return value;
  }
  BackingOptions File(bool shared) const {
    return {.kind = BackingKind::kFile, .file = path(), .shared = shared};
  }
  std::string path() const { return folder_ + "/ram"; }

  std::string folder_;
};

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

void ExpectCongruent(const GuestMemory& memory, uint64_t alignment) {
  for (const RamRegion& region : memory.regions()) {
    const auto host = reinterpret_cast<uint64_t>(region.host);
    EXPECT_EQ(host % alignment, region.base.value % alignment)
        << "region at " << region.base.value;
  }
}

TEST_F(GuestMemoryBackingTest, HostAndGuestAreCongruentModulo2MiB) {
  const std::array<RamRange, 3> ranges{RamRange{Gpa{kPage}, 3 * kPage},
                                       RamRange{Gpa{k2MiB}, k2MiB + kPage},
                                       RamRange{Gpa{8 * k2MiB}, k2MiB}};
  const auto memory = GuestMemory::Create(ranges, {});
  ASSERT_TRUE(memory.ok()) << memory.status();
  ExpectCongruent(*memory, k2MiB);
  EXPECT_TRUE(memory->Store(Gpa{8 * k2MiB}, uint64_t{1}));
}

TEST_F(GuestMemoryBackingTest, HostAndGuestAreCongruentModulo1GiB) {
  const std::array<RamRange, 2> ranges{
      RamRange{Gpa{0}, k1GiB + 5 * k2MiB},
      RamRange{Gpa{4 * k1GiB}, k1GiB / 2 + kPage}};
  const auto memory = GuestMemory::Create(ranges, {});
  ASSERT_TRUE(memory.ok()) << memory.status();
  ExpectCongruent(*memory, k1GiB);
}

TEST_F(GuestMemoryBackingTest, RangesThatAreWrongAreRefused) {
  const std::vector<std::vector<RamRange>> wrong = {
      {{Gpa{0}, 0}},
      {{Gpa{0}, 100}},
      {{Gpa{100}, kPage}},
      {{Gpa{0}, 2 * kPage}, {Gpa{kPage}, kPage}},
      {{Gpa{kPage}, kPage}, {Gpa{0}, kPage}},
      {{Gpa{0 - kPage}, 2 * kPage}},
      {{Gpa{0}, 0 - kPage}},
      {{Gpa{1ull << 56}, kPage}},
      {{Gpa{kPage}, 1ull << 56}},
  };
  for (const std::vector<RamRange>& ranges : wrong) {
    const auto memory = GuestMemory::Create(ranges, {});
    EXPECT_FALSE(memory.ok()) << ranges[0].base.value;
    EXPECT_EQ(memory.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(GuestMemoryBackingTest, MoreThanTheHostCanMapIsRefused) {
  const auto memory = Create(1ull << 55, {});
  EXPECT_EQ(ExitStatusFor(memory.status()), 71) << memory.status();
}

TEST_F(GuestMemoryBackingTest, AnonymousMemoryHasNoDescriptor) {
  EXPECT_EQ(Create(k2MiB, {})->fd(), -1);
}

TEST_F(GuestMemoryBackingTest, SharedMemoryIsAMemfdOfItsSize) {
  for (const BackingKind kind :
       {BackingKind::kMemfd, BackingKind::kAnonymous}) {
    const auto memory = Create(k2MiB, {.kind = kind, .shared = true});
    ASSERT_TRUE(memory.ok()) << memory.status();
    struct stat st {};
    ASSERT_EQ(::fstat(memory->fd(), &st), 0);
    EXPECT_EQ(st.st_size, static_cast<off_t>(k2MiB));
    ASSERT_TRUE(memory->Store(Gpa{kPage}, uint64_t{42}));
    uint64_t value = 0;
    EXPECT_EQ(::pread(memory->fd(), &value, sizeof(value), kPage), 8);
    EXPECT_EQ(value, 42u);
  }
}

TEST_F(GuestMemoryBackingTest, RegionsSayWhereTheyLieInTheDescriptor) {
  const std::array<RamRange, 2> ranges{RamRange{Gpa{0}, 3 * kPage},
                                       RamRange{Gpa{k2MiB}, kPage}};
  const auto memory =
      GuestMemory::Create(ranges, {.kind = BackingKind::kMemfd});
  ASSERT_TRUE(memory.ok()) << memory.status();
  ASSERT_TRUE(memory->Store(Gpa{k2MiB}, uint64_t{7}));
  const auto at = static_cast<off_t>(memory->regions()[1].fd_offset);
  uint64_t value = 0;
  EXPECT_EQ(::pread(memory->fd(), &value, sizeof(value), at), 8);
  EXPECT_EQ(value, 7u);
}

TEST_F(GuestMemoryBackingTest, ASharedFileGetsWhatTheGuestWrites) {
  const auto memory = Create(k2MiB, File(/*shared=*/true));
  ASSERT_TRUE(memory.ok()) << memory.status();
  ASSERT_TRUE(memory->Store(Gpa{kPage}, uint64_t{42}));
  EXPECT_EQ(ReadFile(path(), kPage), 42u);
  EXPECT_GE(memory->fd(), 0);
}

TEST_F(GuestMemoryBackingTest, APrivateFileIsReadButNeverWritten) {
  {
    const auto shared = Create(k2MiB, File(/*shared=*/true));
    ASSERT_TRUE(shared->Store(Gpa{kPage}, uint64_t{42}));
  }
  const auto memory = Create(k2MiB, File(/*shared=*/false));
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(memory->Load<uint64_t>(Gpa{kPage}), 42u);
  ASSERT_TRUE(memory->Store(Gpa{kPage}, uint64_t{43}));
  EXPECT_EQ(ReadFile(path(), kPage), 42u);
  EXPECT_EQ(memory->fd(), -1);
}

TEST_F(GuestMemoryBackingTest, ALargerFileKeepsItsSize) {
  { std::ignore = Create(2 * k2MiB, File(/*shared=*/true)); }
  const auto memory = Create(k2MiB, File(/*shared=*/true));
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(std::filesystem::file_size(path()), 2 * k2MiB);
}

TEST_F(GuestMemoryBackingTest, AFileThatCannotBeOpenedIsNamed) {
  BackingOptions options = File(/*shared=*/true);
  options.file = folder_ + "/nowhere/ram";
  const auto missing = Create(k2MiB, options);
  EXPECT_EQ(ExitStatusFor(missing.status()), 66);
  EXPECT_THAT(Text(missing.status()), HasSubstr("--memory file=" + folder_));
  options.file = folder_;
  const auto directory = Create(k2MiB, options);
  EXPECT_EQ(ExitStatusFor(directory.status()), 66) << directory.status();
}

TEST_F(GuestMemoryBackingTest, ADeviceThatCannotBeMappedIsRefused) {
  BackingOptions options = File(/*shared=*/true);
  options.file = "/dev/null";
  const auto memory = Create(k2MiB, options);
  ASSERT_FALSE(memory.ok());
  EXPECT_THAT(Text(memory.status()), HasSubstr("/dev/null"));
}

TEST_F(GuestMemoryBackingTest, HugePagesThatAreNotThereNameTheRemedy) {
  // One more than are there: emulators keep books about each page asked for.
  const uint64_t pages = ReadNumber("/proc/sys/vm/nr_hugepages") +
                         ReadNumber("/proc/sys/vm/nr_overcommit_hugepages") + 1;
  const auto memory =
      Create(pages * k2MiB, {.kind = BackingKind::kHugetlb2M, .shared = true});
  ASSERT_FALSE(memory.ok());
  EXPECT_EQ(Text(memory.status()).find('\n'), std::string::npos);
  EXPECT_THAT(Text(memory.status()),
              AnyOf(HasSubstr("no huge pages of 2M"),
                    HasSubstr(absl::StrCat("needs ", pages, " huge pages"))));
}

TEST_F(GuestMemoryBackingTest, AnEmptyPoolOfGiBsSaysHowManyItNeeds) {
  const uint64_t pages =
      ReadNumber("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages") +
      2;
  const auto memory = Create(pages << 30, {.kind = BackingKind::kHugetlb1G});
  ASSERT_FALSE(memory.ok());
  EXPECT_THAT(Text(memory.status()),
              AnyOf(HasSubstr("no huge pages of 1G"),
                    HasSubstr("hugepagesz=1G hugepages=")));
}

TEST_F(GuestMemoryBackingTest, HugePagesWantWholePages) {
  const auto memory = Create(k2MiB + kPage, {.kind = BackingKind::kHugetlb2M});
  EXPECT_EQ(memory.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Create(k2MiB, {.kind = BackingKind::kHugetlb1G}).ok());
}

TEST_F(GuestMemoryBackingTest, PreallocatedMemoryIsThere) {
  const auto memory = Create(k2MiB, {.prealloc = true});
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(memory->Load<uint64_t>(Gpa{k2MiB - 8}), 0u);
}

TEST_F(GuestMemoryBackingTest, DiscardedMemoryReadsAsZeroes) {
  for (const BackingOptions& options :
       {BackingOptions{}, BackingOptions{.kind = BackingKind::kMemfd},
        File(/*shared=*/true)}) {
    const auto memory = Create(k2MiB, options);
    ASSERT_TRUE(memory.ok()) << memory.status();
    ASSERT_TRUE(memory->Store(Gpa{0}, uint64_t{1}));
    ASSERT_TRUE(memory->Store(Gpa{k2MiB - 8}, uint64_t{1}));
    ASSERT_TRUE(memory->Discard().ok());
    EXPECT_EQ(memory->Load<uint64_t>(Gpa{0}), 0u);
    EXPECT_EQ(memory->Load<uint64_t>(Gpa{k2MiB - 8}), 0u);
  }
}

TEST_F(GuestMemoryBackingTest, DiscardGoesBackToAPrivateFile) {
  { ASSERT_TRUE(Create(k2MiB, File(true))->Store(Gpa{0}, uint64_t{42})); }
  const auto memory = Create(k2MiB, File(/*shared=*/false));
  ASSERT_TRUE(memory->Store(Gpa{0}, uint64_t{1}));
  ASSERT_TRUE(memory->Store(Gpa{kPage}, uint64_t{1}));
  ASSERT_TRUE(memory->Discard().ok());
  EXPECT_EQ(memory->Load<uint64_t>(Gpa{0}), 42u);
  EXPECT_EQ(memory->Load<uint64_t>(Gpa{kPage}), 0u);
}

}  // namespace
}  // namespace kvmlet
