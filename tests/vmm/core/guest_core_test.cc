// SPDX-License-Identifier: Apache-2.0
// A guest's core file, as binutils' readelf sees it.
#include "vmm/core/guest_core.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace kvmlet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

constexpr uint64_t kPage = 4096;
constexpr uint64_t kMiB = 1 << 20;
constexpr Gpa kHigh{4ull << 30};
constexpr uint64_t kBlock = 2 * kMiB;

// What "readelf -lW" says of a segment.
struct Load {
  uint64_t offset = 0;
  uint64_t virtual_address = 0;
  uint64_t physical_address = 0;
  uint64_t size = 0;
  uint64_t in_memory = 0;
};

class GuestCoreTest : public testing::Test {
 protected:
  GuestCoreTest() {
    char name[] = "/tmp/guest-core-XXXXXX";
    folder_ = ::mkdtemp(name);
    memory_.AddDevice(*DeviceMemory::Create(
        {.flag = "--virtio-mem vm0",
         .base = kHigh,
         .size = 8 * kBlock,
         .block_size = kBlock,
         .backing = {.kind = BackingKind::kMemfd, .shared = true}}));
  }
  ~GuestCoreTest() override { std::filesystem::remove_all(folder_); }

  // A memfd says what it holds in every process, an emulated one too.
  static GuestMemory MakeMemory(BackingKind kind = BackingKind::kMemfd) {
    const std::array<RamRange, 2> ranges{RamRange{Gpa{0}, kMiB},
                                         RamRange{Gpa{16 * kMiB}, 4 * kMiB}};
    return *GuestMemory::Create(
        ranges, {.kind = kind, .shared = kind == BackingKind::kMemfd});
  }

  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }
  absl::StatusOr<GuestCoreSummary> Write(GuestCore core) {
    core.machine = arch_machine_;
    return WriteGuestCore(Path("core"), core);
  }
  void MustWrite() { MustWrite({.memory = memory_}); }
  void MustWrite(const GuestCore& core) {
    const auto summary = Write(core);
    ASSERT_TRUE(summary.ok()) << summary.status();
    summary_ = *summary;
  }
  std::string ReadElf(const std::string& options) const {
    const std::string command =
        absl::StrCat("LC_ALL=C readelf ", options, " ", Path("core"), " 2>&1");
    FILE* const pipe = ::popen(command.c_str(), "r");
    std::string text;
    std::array<char, 4096> buffer;
    while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
      text.append(buffer.data(), n);
    }
    EXPECT_EQ(::pclose(pipe), 0) << text;
    EXPECT_THAT(text, Not(HasSubstr("arning")));
    return text;
  }
  std::vector<Load> Loads() const {
    std::vector<Load> loads;
    std::istringstream lines(ReadElf("-lW"));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string type;
      Load load;
      words >> type >> std::hex >> load.offset >> load.virtual_address >>
          load.physical_address >> load.size >> load.in_memory;
      if (type == "LOAD") loads.push_back(load);
    }
    return loads;
  }
  // The bytes that the file has for a physical address.
  std::string At(Gpa at, size_t size) const {
    for (const Load& load : Loads()) {
      if (at.value < load.physical_address ||
          at.value - load.physical_address > load.size - size) {
        continue;
      }
      std::ifstream file(Path("core"), std::ios::binary);
      file.seekg(static_cast<std::streamoff>(load.offset + at.value -
                                             load.physical_address));
      std::string bytes(size, '?');
      file.read(bytes.data(), static_cast<std::streamsize>(size));
      return bytes;
    }
    return "not there";
  }
  void Put(Gpa at, std::string_view text) {
    ASSERT_TRUE(memory_.Write(at, std::as_bytes(std::span(text))));
  }
  // As the kernel keeps it: namesz, descsz, type, name, text.
  static std::string Vmcoreinfo(std::string_view text) {
    std::string note("\x0b\0\0\0....\0\0\0\0VMCOREINFO\0\0", 24);
    const auto size = static_cast<uint32_t>(text.size());
    std::memcpy(note.data() + 4, &size, sizeof(size));
    return absl::StrCat(note, std::string(text));
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  std::string folder_;
  GuestMemory memory_ = MakeMemory();
  DeviceMemory& device() { return *memory_.devices()[0]; }
  uint16_t arch_machine_ = 62;  // x86-64
  GuestCoreSummary summary_;
};

TEST_F(GuestCoreTest, HasASegmentForEachRange) {
  Put(Gpa{0x1000}, "low");
  Put(Gpa{18 * kMiB}, "high");
  MustWrite();
  EXPECT_THAT(ReadElf("-hW"), HasSubstr("CORE (Core file)"));
  EXPECT_THAT(ReadElf("-hW"), HasSubstr("X86-64"));
  const std::vector<Load> loads = Loads();
  ASSERT_THAT(loads, SizeIs(2));
  EXPECT_EQ(loads[0].physical_address, 0u);
  EXPECT_EQ(loads[0].size, kMiB);
  EXPECT_EQ(loads[1].physical_address, 16 * kMiB);
  EXPECT_EQ(loads[1].in_memory, 4 * kMiB);
  EXPECT_EQ(loads[1].virtual_address, 0u);
  EXPECT_EQ(At(Gpa{0x1000}, 3), "low");
  EXPECT_EQ(At(Gpa{18 * kMiB}, 4), "high");
  EXPECT_EQ(At(Gpa{18 * kMiB + 4}, 2), std::string(2, '\0'));
}

TEST_F(GuestCoreTest, TakesRoomForWhatIsNotZero) {
  Put(Gpa{0x1000}, "x");
  Put(Gpa{0x3000}, std::string(kPage, '\0'));
  Put(Gpa{17 * kMiB}, "x");
  MustWrite();
  EXPECT_EQ(summary_.memory, 5 * kMiB);
  EXPECT_EQ(summary_.written, 2 * kPage);
  struct stat st {};
  ASSERT_EQ(::stat(Path("core").c_str(), &st), 0);
  EXPECT_GT(st.st_size, static_cast<off_t>(5 * kMiB));
  EXPECT_LT(st.st_blocks * 512, static_cast<off_t>(128 << 10));
}

TEST_F(GuestCoreTest, OnlyItsOwnerMayReadIt) {
  MustWrite();
  struct stat st {};
  ASSERT_EQ(::stat(Path("core").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777u, 0600u);
}

TEST_F(GuestCoreTest, HasPluggedBlocksOnly) {
  ASSERT_TRUE(device().Plug(1, 2).ok());
  ASSERT_TRUE(device().Plug(5, 1).ok());
  Put(kHigh + 2 * kBlock, "plugged");
  MustWrite();
  const std::vector<Load> loads = Loads();
  ASSERT_THAT(loads, SizeIs(4));
  EXPECT_EQ(loads[2].physical_address, kHigh.value + kBlock);
  EXPECT_EQ(loads[2].size, 2 * kBlock);
  EXPECT_EQ(loads[3].physical_address, kHigh.value + 5 * kBlock);
  EXPECT_EQ(loads[3].size, kBlock);
  EXPECT_EQ(At(kHigh + 2 * kBlock, 7), "plugged");
}

TEST_F(GuestCoreTest, APageThatCannotBeReadIsLeftOut) {
  Put(Gpa{0x5000}, "before");
  Put(Gpa{0x6000}, "lost");
  Put(Gpa{0x7000}, "after");
  std::byte* const lost = memory_.regions()[0].host + 0x6000;
  ASSERT_EQ(::mprotect(lost, kPage, PROT_NONE), 0);
  MustWrite();
  EXPECT_EQ(summary_.unreadable, kPage);
  const std::vector<Load> loads = Loads();
  ASSERT_THAT(loads, SizeIs(3));
  EXPECT_EQ(loads[0].size, 0x6000u);
  EXPECT_EQ(loads[1].physical_address, 0x7000u);
  EXPECT_EQ(At(Gpa{0x5000}, 6), "before");
  EXPECT_EQ(At(Gpa{0x7000}, 5), "after");
  EXPECT_EQ(At(Gpa{0x6000}, 4), "not there");
}

TEST_F(GuestCoreTest, ManyLostPagesDoNotOverflowTheHeaders) {
  std::byte* const host = memory_.regions()[0].host;
  for (uint64_t i = 0; i < 256; ++i) Put(Gpa{i * kPage}, "x");
  for (uint64_t i = 0; i < 256; i += 2) {
    ASSERT_EQ(::mprotect(host + i * kPage, kPage, PROT_NONE), 0);
  }
  MustWrite();
  EXPECT_EQ(summary_.unreadable, 128 * kPage);
  EXPECT_THAT(Loads(), SizeIs(testing::Le(66u + 2u)));
  EXPECT_EQ(At(Gpa{255 * kPage}, 1), "x");
}

TEST_F(GuestCoreTest, NotesAreTheVcpus) {
  const auto note = [](const std::string& name, uint32_t type, size_t size) {
    return arch::CoreNote{
        .name = name, .type = type, .data = std::vector<std::byte>(size)};
  };
  MustWrite({.memory = memory_,
             .notes = {note("CORE", 1, 336), note("QEMU", 0, 441),
                       note("CORE", 1, 336)}});
  const std::string text = ReadElf("-nW");
  const size_t first = text.find("NT_PRSTATUS");
  ASSERT_NE(first, std::string::npos) << text;
  EXPECT_NE(text.find("NT_PRSTATUS", first + 1), std::string::npos) << text;
  EXPECT_THAT(text, HasSubstr("QEMU"));
  EXPECT_THAT(text, Not(HasSubstr("VMCOREINFO")));
  EXPECT_FALSE(summary_.vmcoreinfo);
}

TEST_F(GuestCoreTest, TheGuestsVmcoreinfoIsANote) {
  Put(Gpa{17 * kMiB}, Vmcoreinfo("OSRELEASE=6.12\nNUMBER(phys_base)=4096\n"));
  MustWrite();
  EXPECT_TRUE(summary_.vmcoreinfo);
  EXPECT_THAT(ReadElf("-nW"), HasSubstr("VMCOREINFO"));
  std::ifstream file(Path("core"), std::ios::binary);
  std::string start(1 << 16, '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  EXPECT_THAT(start, HasSubstr("NUMBER(phys_base)=4096\n"));
}

// What a guest may put in its place.
TEST_F(GuestCoreTest, AHostileVmcoreinfoIsNone) {
  std::string large = Vmcoreinfo("OSRELEASE=");
  large.replace(4, 4, "\xff\xff\xff\xff");
  Put(Gpa{0x1000}, large);
  std::string beyond = Vmcoreinfo("OSRELEASE=");
  beyond.replace(4, 4, std::string("\0\x11\0\0", 4));  // over the range's end
  Put(Gpa{kMiB - kPage}, beyond);
  Put(Gpa{0x2000}, Vmcoreinfo("something else"));
  std::string tiny = Vmcoreinfo("");
  Put(Gpa{0x3000}, tiny);
  Put(Gpa{0x4010}, Vmcoreinfo("OSRELEASE=not at a page's start\n"));
  MustWrite(
      {.memory = memory_,
       .notes = {
           {.name = "CORE", .type = 1, .data = std::vector<std::byte>(336)}}});
  EXPECT_FALSE(summary_.vmcoreinfo);
  EXPECT_THAT(ReadElf("-nW"), Not(HasSubstr("VMCOREINFO")));
}

TEST_F(GuestCoreTest, WhatIsNotTheGuestsIsHidden) {
  Put(Gpa{0x1000}, "\xcc!");
  MustWrite({.memory = memory_, .hide = [](Gpa at, std::span<std::byte> copy) {
               if (at.value > 0x1000) return;
               if (copy.size() <= 0x1000 - at.value) return;
               copy[0x1000 - at.value] = std::byte{'U'};
             }});
  EXPECT_EQ(At(Gpa{0x1000}, 2), "U!");
}

TEST_F(GuestCoreTest, AnOlderFileIsReplacedAsAWhole) {
  std::ofstream(Path("core")) << "older";
  Put(Gpa{0x1000}, "new");
  MustWrite();
  EXPECT_EQ(At(Gpa{0x1000}, 3), "new");
  EXPECT_THAT(Files(), ElementsAre("core"));
}

TEST_F(GuestCoreTest, AFullDiskLeavesTheOlderFile) {
  std::ofstream(Path("core")) << "older";
  Put(Gpa{18 * kMiB}, "too far");
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{.rlim_cur = 2 * kMiB, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto summary = Write({.memory = memory_});
  ::setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_FALSE(summary.ok());
  EXPECT_THAT(std::string(summary.status().message()),
              HasSubstr(absl::StrCat("dump ", Path("core"), ": ")));
  EXPECT_THAT(Files(), ElementsAre("core"));
  std::string content;
  std::ifstream(Path("core")) >> content;
  EXPECT_EQ(content, "older");
}

TEST_F(GuestCoreTest, WhatIsNoFileIsRefused) {
  std::filesystem::create_directory(Path("core"));
  const auto summary = Write({.memory = memory_});
  ASSERT_FALSE(summary.ok());
  EXPECT_THAT(std::string(summary.status().message()),
              HasSubstr("not a regular file"));
  std::filesystem::remove(Path("core"));
  ASSERT_EQ(::mkfifo(Path("core").c_str(), 0600), 0);
  EXPECT_FALSE(Write({.memory = memory_}).ok());
  const auto nowhere =
      WriteGuestCore(Path("missing/core"), {.memory = memory_});
  EXPECT_THAT(std::string(nowhere.status().message()), HasSubstr("ENOENT"));
}

// Private memory, whose pages only /proc knows.
TEST(GuestCorePrivateTest, MemoryThatWasTouchedIsThere) {
  const uint64_t mine = 1;
  const int map = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  uint64_t entry = 0;
  const off_t at = static_cast<off_t>(reinterpret_cast<uint64_t>(&mine) /
                                      kPage * sizeof(entry));
  const bool told = ::pread(map, &entry, sizeof(entry), at) == sizeof(entry) &&
                    (entry >> 63) != 0;
  ::close(map);
  if (!told) GTEST_SKIP() << "this process is emulated: /proc lacks its pages";
  const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, 4 * kMiB}};
  const GuestMemory memory = *GuestMemory::Create(ranges, {});
  ASSERT_TRUE(memory.Store(Gpa{2 * kMiB}, mine));
  char name[] = "/tmp/guest-core-XXXXXX";
  const int fd = ::mkstemp(name);
  const auto summary = WriteGuestCore(name, {.memory = memory});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->written, kPage);
  EXPECT_EQ(summary->memory, 4 * kMiB);
  ::unlink(name);
  ::close(fd);
}

}  // namespace
}  // namespace kvmlet
