// SPDX-License-Identifier: Apache-2.0
// Blocks that come and go: the door, the listeners, what is inside.
#include "vmm/memory/device_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "tests/fakes/real_madvise.h"
#include "tests/vmm/memory/device_memory_fixture.h"

namespace kvmlet {
namespace {

using testing::ElementsAre;

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

TEST_F(DeviceMemoryTest, TheDoorOpensWithThePlug) {
  DeviceMemory& device = Add(Options());
  EXPECT_FALSE(ram_.Contains(Block(3), 1));
  EXPECT_FALSE(ram_.Store(Block(3), uint64_t{1}));
  ASSERT_TRUE(device.Plug(3, 2).ok());
  EXPECT_EQ(device.plugged_size(), 2 * kBlock);
  EXPECT_TRUE(ram_.Store(Block(3), uint64_t{42}));
  EXPECT_EQ(ram_.Load<uint64_t>(Block(3)), 42u);
  ASSERT_TRUE(device.Unplug(3, 1).ok());
  EXPECT_FALSE(ram_.Load<uint64_t>(Block(3)));
  EXPECT_TRUE(ram_.Load<uint64_t>(Block(4)));
  EXPECT_EQ(ram_.size(), 4u << 20);
}

TEST_F(DeviceMemoryTest, OneByteIntoAnUnpluggedBlockIsOutside) {
  DeviceMemory& device = Add(Options());
  ASSERT_TRUE(device.Plug(1, 2).ok());
  EXPECT_TRUE(ram_.Contains(Block(1), 2 * kBlock));
  EXPECT_TRUE(ram_.Contains(Block(3) + uint64_t(-1), 1));
  EXPECT_FALSE(ram_.Contains(Block(3) + uint64_t(-1), 2));
  EXPECT_FALSE(ram_.Contains(Block(1) + uint64_t(-1), 2));
  EXPECT_FALSE(ram_.Contains(Block(1), 2 * kBlock + 1));
  EXPECT_FALSE(ram_.Contains(Block(1), UINT64_MAX));
  EXPECT_FALSE(ram_.Contains(Block(kBlocks - 1), kBlock));
  ASSERT_TRUE(device.Plug(kBlocks - 1, 1).ok());
  EXPECT_TRUE(ram_.Contains(Block(kBlocks - 1), kBlock));
  EXPECT_FALSE(ram_.Contains(Block(kBlocks - 1), kBlock + 1));
  EXPECT_FALSE(ram_.Contains(Block(kBlocks), 1));
}

TEST_F(DeviceMemoryTest, IovecsEndWhereTheBlocksDo) {
  DeviceMemory& device = Add(Options());
  ASSERT_TRUE(device.Plug(1, 2).ok());
  std::vector<iovec> parts;
  ASSERT_TRUE(ram_.Iovecs(Block(1) + 16, 2 * kBlock - 16, parts));
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].iov_base, device.Part(1, 1).host + 16);
  EXPECT_FALSE(ram_.Iovecs(Block(1), 2 * kBlock + 1, parts));
  EXPECT_FALSE(ram_.Iovecs(Block(0), 16, parts));
  EXPECT_FALSE(ram_.Iovecs(Block(kBlocks), 16, parts));
  EXPECT_EQ(parts.size(), 1u);
}

TEST_F(DeviceMemoryTest, GuestAndHostAreCongruent) {
  const DeviceMemory& device = Add(Options());
  const auto host = reinterpret_cast<uint64_t>(device.Part(0, 1).host);
  EXPECT_EQ(host % (2 << 20), device.base().value % (2 << 20));
  DeviceMemoryOptions large = Options();
  large.base = Gpa{(5ull << 30) + kBlock};
  large.size = 1ull << 30;
  const DeviceMemory& other = Add(large);
  const auto at = reinterpret_cast<uint64_t>(other.Part(0, 1).host);
  EXPECT_EQ(at % (1ull << 30), kBlock);
}

TEST_F(DeviceMemoryTest, PluggedMemoryReadsAsZeroesAfterASecret) {
  DeviceMemory& device = Add(Options());
  ASSERT_TRUE(device.Plug(0, 1).ok());
  ASSERT_TRUE(ram_.Store(Block(0), uint64_t{0x5ec7e7}));
  std::byte* const host = device.Part(0, 1).host;
  ASSERT_TRUE(device.Unplug(0, 1).ok());
  // An access that was checked before the unplug, or a vCPU of a slot that
  // is still there.
  std::memset(host + 4096, 0x5a, 4096);
  ASSERT_TRUE(device.Plug(0, 1).ok());
  EXPECT_EQ(ram_.Load<uint64_t>(Block(0)), 0u);
  EXPECT_EQ(ram_.Load<uint64_t>(Block(0) + 4096), 0u);
}

TEST_F(DeviceMemoryTest, UnplugGivesTheMemoryBack) {
  DeviceMemory& device = Add(Options());
  const uint64_t before = ResidentBytes();
  ASSERT_TRUE(device.Plug(0, 32).ok());
  ASSERT_TRUE(ram_.Zero(Block(0), 32 * kBlock));
  EXPECT_GE(ResidentBytes(), before + 32 * kBlock);
  ASSERT_TRUE(device.Unplug(0, 32).ok());
  EXPECT_LT(ResidentBytes(), before + kBlock);
}

TEST_F(DeviceMemoryTest, WhatIsTouchedWhileUnpluggedIsCountedAndFreed) {
  DeviceMemory& device = Add(Options());
  EXPECT_EQ(device.DiscardTouched(), 0u);
  ASSERT_TRUE(device.Plug(0, 2).ok());
  ASSERT_TRUE(device.Unplug(1, 1).ok());
  EXPECT_EQ(device.DiscardTouched(), 0u);
  std::memset(device.Part(1, 1).host, 0x5a, 3 * 4096);
  EXPECT_GE(device.DiscardTouched(), 3u * 4096);
  EXPECT_EQ(device.DiscardTouched(), 0u);
  // The plugged neighbour is left alone.
  ASSERT_TRUE(ram_.Store(Block(0), uint64_t{7}));
  device.DiscardTouched();
  EXPECT_EQ(ram_.Load<uint64_t>(Block(0)), 7u);
}

TEST_F(DeviceMemoryTest, StatesAndRuns) {
  DeviceMemory& device = Add(Options());
  ASSERT_TRUE(device.Plug(2, 3).ok());
  ASSERT_TRUE(device.Plug(5, 1).ok());
  ASSERT_TRUE(device.Plug(63, 1).ok());
  using State = DeviceMemory::BlockState;
  EXPECT_EQ(device.StateOf(2, 4), State::kPlugged);
  EXPECT_EQ(device.StateOf(1, 2), State::kMixed);
  EXPECT_EQ(device.StateOf(6, 57), State::kUnplugged);
  EXPECT_THAT(device.PluggedRuns(),
              ElementsAre(BlockRun{2, 4}, BlockRun{63, 1}));
  device.UnplugAll();
  EXPECT_EQ(device.StateOf(0, kBlocks), State::kUnplugged);
  EXPECT_EQ(device.plugged_size(), 0u);
}

TEST_F(DeviceMemoryTest, ListenersHearInOrderAndInReverse) {
  DeviceMemory& device = Add(Options());
  DiaryListener a("a", diary_);
  DiaryListener b("b", diary_);
  ASSERT_TRUE(device.AddListener(a).ok());
  ASSERT_TRUE(device.Plug(4, 2).ok());
  ASSERT_TRUE(device.AddListener(b).ok());
  ASSERT_TRUE(device.Plug(8, 1).ok());
  ASSERT_TRUE(device.Unplug(5, 1).ok());
  device.UnplugAll();
  device.UnplugAll();
  EXPECT_THAT(diary_, ElementsAre("a+4,2", "b+4,2", "a+8,1", "b+8,1", "b-5,1",
                                  "a-5,1", "b-4,1", "a-4,1", "b-8,1", "a-8,1"));
}

TEST_F(DeviceMemoryTest, ARefusalUndoesEverything) {
  DeviceMemory& device = Add(Options());
  DiaryListener a("a", diary_);
  DiaryListener b("b", diary_);
  ASSERT_TRUE(device.AddListener(a).ok());
  ASSERT_TRUE(device.AddListener(b).ok());
  b.refuse = true;
  EXPECT_FALSE(device.Plug(4, 2).ok());
  EXPECT_THAT(diary_, ElementsAre("a+4,2", "a-4,2"));
  EXPECT_EQ(device.plugged_size(), 0u);
  EXPECT_FALSE(ram_.Contains(Block(4), 1));
  b.refuse = false;
  EXPECT_TRUE(device.Plug(4, 2).ok());
}

TEST_F(DeviceMemoryTest, AListenerThatRefusesWhatIsThereIsNotAdded) {
  DeviceMemory& device = Add(Options());
  DiaryListener a("a", diary_);
  a.refuse = true;
  ASSERT_TRUE(device.AddListener(a).ok());
  a.refuse = false;
  ASSERT_TRUE(device.Plug(0, 1).ok());
  DiaryListener b("b", diary_);
  b.refuse = true;
  EXPECT_FALSE(device.AddListener(b).ok());
  device.RemoveListener(b);
  device.RemoveListener(a);
  EXPECT_THAT(diary_, ElementsAre("a+0,1", "a-0,1"));
}

// An emulator of user programs keeps records of every page.
TEST_F(DeviceMemoryTest, ATerabyteCostsNextToNothing) {
  if (!MadviseIsReal()) GTEST_SKIP() << kNoRealMadvise;
  const uint64_t before = ResidentBytes();
  DeviceMemoryOptions options = Options();
  options.size = 1ull << 40;
  DeviceMemory& device = Add(options);
  EXPECT_EQ(device.slot_size(), 1ull << 30);
  EXPECT_LT(ResidentBytes(), before + (1 << 20));
  ASSERT_TRUE(device.Plug(500'000, 1).ok());
  EXPECT_TRUE(ram_.Store(Block(500'000), uint64_t{1}));
  EXPECT_LT(ResidentBytes(), before + (4 << 20));
}

TEST_F(DeviceMemoryTest, SlotsAreNoSmallerThanBlocksAndNotTooMany) {
  EXPECT_EQ(Add(Options()).slot_size(), 128u << 20);
  DeviceMemoryOptions options = Options();
  options.base = Gpa{8ull << 30};
  options.size = 64ull << 30;
  EXPECT_EQ(Add(options).slot_size(), 256u << 20);
}

// The door is read by many threads while blocks come and go: an access either
// succeeds or is refused, and never faults.
TEST_F(DeviceMemoryTest, AccessesBesideUnplugAreHarmless) {
  for (const BackingKind kind :
       {BackingKind::kAnonymous, BackingKind::kMemfd}) {
    DeviceMemoryOptions options = Options({.kind = kind});
    options.base = kBase + (uint64_t{kind == BackingKind::kMemfd} << 30);
    DeviceMemory& device = Add(options);
    std::atomic<bool> stop{false};
    std::thread reader([&] {
      while (!stop) {
        for (uint64_t i = 0; i < 4; ++i) {
          std::ignore = ram_.Store(device.base() + i * kBlock, i);
          std::ignore = ram_.Load<uint64_t>(device.base() + i * kBlock);
        }
      }
    });
    for (int i = 0; i < 300; ++i) {
      ASSERT_TRUE(device.Plug(1, 2).ok());
      ASSERT_TRUE(device.Unplug(1, 2).ok());
    }
    stop = true;
    reader.join();
  }
}

}  // namespace
}  // namespace kvmlet
