// SPDX-License-Identifier: Apache-2.0
// Device memory over memfds, files and huge pages: unplugged pages are freed
// there, not only unmapped here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fakes/real_madvise.h"
#include "tests/vmm/memory/device_memory_fixture.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

class DeviceMemoryBackingTest : public DeviceMemoryTest {
 protected:
  DeviceMemoryBackingTest() {
    std::string name = testing::TempDir() + "/device-memoryXXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~DeviceMemoryBackingTest() override { std::filesystem::remove_all(folder_); }
  static uint64_t Allocated(const DeviceMemory& device) {
    struct stat st {};
    EXPECT_EQ(::fstat(device.fd(), &st), 0);
    return static_cast<uint64_t>(st.st_blocks) * 512;
  }
  std::string path() const { return folder_ + "/ram"; }

  // Plug, fill, unplug: the host has it back, and it comes back as zeroes.
  void CheckLifeOf(DeviceMemory& device) {
    const uint64_t before = Allocated(device);
    ASSERT_TRUE(device.Plug(1, 3).ok());
    for (uint64_t i = 1; i < 4; ++i) {
      ASSERT_TRUE(ram_.Store(Block(i), UINT64_MAX));
    }
    EXPECT_GT(Allocated(device), before);
    ASSERT_TRUE(device.Unplug(2, 1).ok());
    EXPECT_EQ(ram_.Load<uint64_t>(Block(1)), UINT64_MAX);
    EXPECT_EQ(ram_.Load<uint64_t>(Block(3)), UINT64_MAX);
    // Late accesses land beside the backing, and harm nobody.
    std::memset(device.Part(2, 1).host, 0x5a, 4096);
    EXPECT_GE(device.DiscardTouched(), 4096u);
    ASSERT_TRUE(device.Plug(2, 1).ok());
    EXPECT_EQ(ram_.Load<uint64_t>(Block(2)), 0u);
    device.UnplugAll();
    EXPECT_EQ(Allocated(device), before);
    ASSERT_TRUE(device.Plug(1, 1).ok());
    EXPECT_EQ(ram_.Load<uint64_t>(Block(1)), 0u);
  }

  DeviceMemoryOptions FileOptions() const {
    return Options(
        {.kind = BackingKind::kFile, .file = path(), .shared = true});
  }

  std::string folder_;
};

TEST_F(DeviceMemoryBackingTest, Memfd) {
  CheckLifeOf(Add(Options({.kind = BackingKind::kMemfd})));
}

TEST_F(DeviceMemoryBackingTest, File) {
  CheckLifeOf(Add(
      Options({.kind = BackingKind::kFile, .file = path(), .shared = true})));
  EXPECT_EQ(std::filesystem::file_size(path()), kBlocks * kBlock);
}

TEST_F(DeviceMemoryBackingTest, AFilesOldContentIsGone) {
  {
    std::ofstream file(path());
    file << std::string(8 << 20, 'x');
  }
  std::filesystem::resize_file(path(), kBlocks * kBlock);
  DeviceMemory& device = Add(FileOptions());
  // Not before the start is certain.
  EXPECT_GE(Allocated(device), 8u << 20);
  ASSERT_TRUE(device.Clear().ok());
  EXPECT_EQ(Allocated(device), 0u);
  ASSERT_TRUE(device.Plug(0, 1).ok());
  EXPECT_EQ(ram_.Load<uint64_t>(Block(0)), 0u);
}

TEST_F(DeviceMemoryBackingTest, AFileServesOneMachine) {
  const DeviceMemory& device = Add(FileOptions());
  EXPECT_EQ(device.plugged_size(), 0u);
  const auto second = DeviceMemory::Create(FileOptions());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(ExitStatusFor(second.status()), 69) << second.status();
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("in use by another process"));
}

TEST_F(DeviceMemoryBackingTest, AFileOfAnotherSizeIsSomebodys) {
  { std::ofstream(path()) << "precious"; }
  const auto device = DeviceMemory::Create(FileOptions());
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(ExitStatusFor(device.status()), 65) << device.status();
  EXPECT_THAT(std::string(device.status().message()),
              HasSubstr("it has 8 bytes, and 134217728 are needed; run "
                        "truncate -s 134217728"));
  EXPECT_EQ(std::filesystem::file_size(path()), 8u);
}

// What a host does that counts what it promises.
TEST_F(DeviceMemoryBackingTest, AHostThatPromisesNoMoreRefusesThePlug) {
  DeviceMemory& device = Add(Options());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_DATA, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_DATA, &none), 0);
  const absl::Status refused = device.Plug(0, 1);
  ASSERT_EQ(::setrlimit(RLIMIT_DATA, &before), 0);
  if (refused.ok()) GTEST_SKIP() << "this kernel has no limit on data";
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("vm.overcommit_memory"));
  EXPECT_EQ(device.plugged_size(), 0u);
  EXPECT_TRUE(device.Plug(0, 1).ok());
}

TEST_F(DeviceMemoryBackingTest, AFileThatCannotPunchHolesIsRefused) {
  const auto device = DeviceMemory::Create(Options(
      {.kind = BackingKind::kFile, .file = "/dev/null", .shared = true}));
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(ExitStatusFor(device.status()), 65) << device.status();
  EXPECT_THAT(std::string(device.status().message()),
              HasSubstr("--virtio-mem vm0"));
}

TEST_F(DeviceMemoryBackingTest, AFileInNoFolderCannotBeOpened) {
  const auto device = DeviceMemory::Create(Options(
      {.kind = BackingKind::kFile, .file = folder_ + "/a/b", .shared = true}));
  EXPECT_EQ(ExitStatusFor(device.status()), 66) << device.status();
}

TEST_F(DeviceMemoryBackingTest, PreallocPopulatesAtPlug) {
  if (!MadviseIsReal()) GTEST_SKIP() << kNoRealMadvise;
  for (const BackingKind kind :
       {BackingKind::kAnonymous, BackingKind::kMemfd}) {
    DeviceMemoryOptions options = Options({.kind = kind, .prealloc = true});
    const auto device = DeviceMemory::Create(options);
    ASSERT_TRUE(device.ok()) << device.status();
    ASSERT_TRUE((*device)->Plug(0, 40).ok());
    const RamRegion part = (*device)->Part(0, 40);
    std::vector<unsigned char> pages(part.size / 4096);
    ASSERT_EQ(::mincore(part.host, part.size, pages.data()), 0);
    EXPECT_EQ(std::count(pages.begin(), pages.end(), 1), pages.size());
  }
}

TEST_F(DeviceMemoryBackingTest, PopulatingGivesWayToAReset) {
  DeviceMemory& device = Add(Options({.prealloc = true}));
  device.Hurry(true);
  const absl::Status status = device.Plug(0, 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(device.plugged_size(), 0u);
  device.Hurry(false);
  EXPECT_TRUE(device.Plug(0, 1).ok());
}

TEST_F(DeviceMemoryBackingTest, PagesComeFromTheHostsNodes) {
  for (const BackingKind kind :
       {BackingKind::kAnonymous, BackingKind::kMemfd}) {
    DeviceMemoryOptions options = Options({.kind = kind});
    options.host_nodes = {0};
    const auto device = DeviceMemory::Create(options);
    if (!device.ok()) GTEST_SKIP() << "no NUMA here: " << device.status();
    for (int turn = 0; turn < 2; ++turn) {
      ASSERT_TRUE((*device)->Plug(3, 2).ok());
      int mode = -1;
      ASSERT_EQ(::syscall(SYS_get_mempolicy, &mode, nullptr, 0,
                          (*device)->Part(4, 1).host, MPOL_F_ADDR),
                0);
      EXPECT_EQ(mode, MPOL_BIND);
      ASSERT_TRUE((*device)->Unplug(3, 2).ok());
    }
  }
}

TEST_F(DeviceMemoryBackingTest, NodesThatTheHostLacksAreAnErrorAtTheStart) {
  DeviceMemoryOptions options = Options();
  options.host_nodes = {63};
  const auto device = DeviceMemory::Create(options);
  ASSERT_FALSE(device.ok());
  EXPECT_THAT(std::string(device.status().message()),
              HasSubstr("--virtio-mem vm0"));
}

TEST_F(DeviceMemoryBackingTest, AnEmptyPoolRefusesThePlugAndNothingElse) {
  // The pool of this machine may hold something: ask for more than all.
  DeviceMemoryOptions options = Options({.kind = BackingKind::kHugetlb2M});
  options.size = 1ull << 40;
  const auto device = DeviceMemory::Create(options);
  if (!device.ok()) GTEST_SKIP() << "no hugetlb here: " << device.status();
  const absl::Status status = (*device)->Plug(0, 1 << 18);
  EXPECT_EQ(ExitStatusFor(status), 71) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("nr_hugepages"));
  EXPECT_EQ((*device)->plugged_size(), 0u);
  // What lies beneath is still memory.
  std::memset((*device)->Part(5, 1).host, 1, 4096);
  EXPECT_GE((*device)->DiscardTouched(), 4096u);
}

TEST_F(DeviceMemoryBackingTest, HugePagesGoBackToThePool) {
  std::ifstream pool(
      "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  uint64_t free_pages = 0;
  pool >> free_pages;
  if (free_pages < 8) GTEST_SKIP() << "needs 8 free huge pages of 2 MiB";
  CheckLifeOf(Add(Options({.kind = BackingKind::kHugetlb2M})));
}

}  // namespace
}  // namespace kvmlet
