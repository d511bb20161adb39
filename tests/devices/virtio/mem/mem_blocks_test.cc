// SPDX-License-Identifier: Apache-2.0
// The answer to every kind of request, and how the sizes follow.
#include "devices/virtio/mem_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/devices/virtio/mem/mem_fixture.h"

namespace kvmlet::virtio {
namespace {

using testing::HasSubstr;
constexpr auto kAck = MemResponseType::kAck;
constexpr auto kNack = MemResponseType::kNack;
constexpr auto kBusy = MemResponseType::kBusy;
constexpr auto kError = MemResponseType::kError;

class MemBlocksTest : public MemFixture {
 protected:
  MemResponseType Ask(const MemRequest& request) {
    return blocks_.Handle(request).type;
  }
  MemState StateOf(uint64_t first, uint16_t count) {
    const auto answer = blocks_.Handle(State(first, count));
    EXPECT_EQ(answer.type, kAck);
    return answer.state;
  }
  uint64_t plugged() const { return blocks_.config().plugged_size / kBlock; }

  int changes_ = 0;
  MemBlocks blocks_{*device_memory_, Options(), [this] { ++changes_; }};
};

TEST_F(MemBlocksTest, TheConfigurationDescribesTheRegion) {
  const MemConfig config = blocks_.config();
  EXPECT_EQ(config.block_size, kBlock);
  EXPECT_EQ(config.addr, kBase);
  EXPECT_EQ(config.region_size, kBlocks * kBlock);
  EXPECT_EQ(config.usable_region_size, kUsable);
  EXPECT_EQ(config.plugged_size, 0u);
  EXPECT_EQ(config.requested_size, kRequested);
}

TEST_F(MemBlocksTest, PlugAndUnplug) {
  EXPECT_EQ(Ask(Plug(0, 4)), kAck);
  EXPECT_EQ(Ask(Plug(4, 1)), kAck);
  EXPECT_EQ(plugged(), 5u);
  EXPECT_EQ(Ask(Unplug(1, 2)), kAck);
  EXPECT_EQ(plugged(), 3u);
  EXPECT_EQ(StateOf(0, 1), MemState::kPlugged);
  EXPECT_EQ(StateOf(1, 2), MemState::kUnplugged);
  EXPECT_EQ(StateOf(0, 4), MemState::kMixed);
}

TEST_F(MemBlocksTest, RangesThatAreWrongAreErrors) {
  for (const auto type : {MemRequestType::kPlug, MemRequestType::kUnplug,
                          MemRequestType::kState}) {
    MemRequest request = Request(type, 0, 1);
    request.addr += 4096;
    EXPECT_EQ(Ask(request), kError) << "unaligned";
    EXPECT_EQ(Ask(Request(type, 0, 0)), kError) << "no blocks";
    EXPECT_EQ(Ask(Request(type, uint64_t(-1), 1)), kError) << "below";
    EXPECT_EQ(Ask(Request(type, uint64_t(-1), 2)), kError)
        << "across the start";
    const uint64_t usable = kUsable / kBlock;
    EXPECT_EQ(Ask(Request(type, usable, 1)), kError) << "at the usable end";
    EXPECT_EQ(Ask(Request(type, usable - 1, 2)), kError) << "across it";
    EXPECT_EQ(Ask(Request(type, kBlocks, 1)), kError) << "above";
    EXPECT_EQ(Ask(Request(type, 0, 65535)), kError) << "too many";
    request = Request(type, 0, 65535);
    request.addr = 0 - kBlock;
    EXPECT_EQ(Ask(request), kError) << "wraps";
    request.addr = 0;
    EXPECT_EQ(Ask(request), kError) << "address 0";
  }
  EXPECT_EQ(plugged(), 0u);
}

TEST_F(MemBlocksTest, TheLastUsableBlockIsGood) {
  const uint64_t last = kUsable / kBlock - 1;
  EXPECT_EQ(Ask(Plug(last, 1)), kAck);
  EXPECT_EQ(StateOf(last, 1), MemState::kPlugged);
  EXPECT_EQ(Ask(Unplug(last, 1)), kAck);
}

TEST_F(MemBlocksTest, BlocksInTheWrongStateAreErrors) {
  EXPECT_EQ(Ask(Unplug(0, 1)), kError);
  ASSERT_EQ(Ask(Plug(2, 2)), kAck);
  EXPECT_EQ(Ask(Plug(2, 2)), kError);
  EXPECT_EQ(Ask(Plug(1, 2)), kError);
  EXPECT_EQ(Ask(Plug(3, 2)), kError);
  EXPECT_EQ(Ask(Unplug(1, 2)), kError);
  EXPECT_EQ(Ask(Unplug(3, 2)), kError);
  EXPECT_EQ(plugged(), 2u);
}

TEST_F(MemBlocksTest, MoreThanRequestedIsNackAndAnErrorComesFirst) {
  EXPECT_EQ(Ask(Plug(0, 33)), kNack);
  ASSERT_EQ(Ask(Plug(0, 31)), kAck);
  EXPECT_EQ(Ask(Plug(31, 2)), kNack);
  EXPECT_EQ(Ask(Plug(30, 33)), kError);
  EXPECT_EQ(Ask(Plug(31, 1)), kAck);
  EXPECT_EQ(Ask(Plug(32, 1)), kNack);
  ASSERT_TRUE(blocks_.Resize(0).ok());
  EXPECT_EQ(Ask(Plug(32, 1)), kNack);
  EXPECT_EQ(Ask(Unplug(0, 32)), kAck);
}

TEST_F(MemBlocksTest, WhatTheHostCannotIsBusyAndChangesNothing) {
  gate_.shut = true;
  const auto answer = blocks_.Handle(Plug(0, 4));
  EXPECT_EQ(answer.type, kBusy);
  EXPECT_EQ(answer.why, "the gate is shut");
  EXPECT_EQ(plugged(), 0u);
  EXPECT_EQ(StateOf(0, 4), MemState::kUnplugged);
  gate_.shut = false;
  EXPECT_EQ(Ask(Plug(0, 4)), kAck);
}

TEST_F(MemBlocksTest, UnknownTypesAreErrors) {
  for (const int type : {4, 5, 0xffff}) {
    MemRequest request = Plug(0, 1);
    request.type = static_cast<uint16_t>(type);
    EXPECT_EQ(Ask(request), kError);
  }
}

TEST_F(MemBlocksTest, PaddingMeansNothing) {
  MemRequest request = Plug(0, 1);
  request.padding[0] = request.padding[2] = 0xffff;
  request.padding2[0] = request.padding2[2] = 0xffff;
  EXPECT_EQ(Ask(request), kAck);
  MemRequest all = UnplugAll();
  all.addr = 12345;
  all.nb_blocks = 99;
  EXPECT_EQ(Ask(all), kAck);
  EXPECT_EQ(plugged(), 0u);
}

TEST_F(MemBlocksTest, TheUsableRegionGrowsAtOnceAndShrinksAtUnplugAll) {
  ASSERT_TRUE(blocks_.Resize(60 * kBlock).ok());
  EXPECT_EQ(blocks_.config().usable_region_size, kBlocks * kBlock);
  ASSERT_EQ(Ask(Plug(50, 2)), kAck);
  ASSERT_TRUE(blocks_.Resize(kBlock).ok());
  EXPECT_EQ(blocks_.config().usable_region_size, kBlocks * kBlock);
  EXPECT_EQ(Ask(UnplugAll()), kAck);
  EXPECT_EQ(blocks_.config().usable_region_size, 3 * kMemoryBlock);
  EXPECT_EQ(plugged(), 0u);
  ASSERT_TRUE(blocks_.Resize(0).ok());
  EXPECT_EQ(Ask(UnplugAll()), kAck);
  EXPECT_EQ(blocks_.config().usable_region_size, 0u);
  EXPECT_EQ(Ask(State(0, 1)), kError);
}

TEST_F(MemBlocksTest, SystemResetUnplugsAndKeepsTheRequest) {
  ASSERT_EQ(Ask(Plug(3, 5)), kAck);
  ASSERT_TRUE(memory_.Store(Gpa{kBase + 3 * kBlock}, uint64_t{0x5ec7e7}));
  blocks_.SystemReset();
  EXPECT_EQ(plugged(), 0u);
  EXPECT_EQ(blocks_.config().requested_size, kRequested);
  EXPECT_EQ(StateOf(0, 48), MemState::kUnplugged);
  ASSERT_EQ(Ask(Plug(3, 5)), kAck);
  EXPECT_EQ(memory_.Load<uint64_t>(Gpa{kBase + 3 * kBlock}), 0u);
}

TEST_F(MemBlocksTest, WhatCannotBeRequestedNamesTheNumbers) {
  const absl::Status odd = blocks_.Resize(kBlock + 1);
  EXPECT_THAT(std::string(odd.message()), HasSubstr("2097152"));
  const absl::Status much = blocks_.Resize((kBlocks + 1) * kBlock);
  EXPECT_THAT(std::string(much.message()), HasSubstr("134217728"));
  EXPECT_EQ(blocks_.config().requested_size, kRequested);
  EXPECT_TRUE(blocks_.Resize(kBlocks * kBlock).ok());
  EXPECT_TRUE(blocks_.Resize(0).ok());
}

TEST_F(MemBlocksTest, EveryChangeOfTheConfigurationIsAnnounced) {
  ASSERT_EQ(Ask(Plug(0, 1)), kAck);
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(Ask(Plug(0, 1)), kError);
  EXPECT_EQ(StateOf(0, 1), MemState::kPlugged);
  EXPECT_EQ(changes_, 1);
  ASSERT_TRUE(blocks_.Resize(0).ok());
  EXPECT_EQ(changes_, 2);
}

// A guest with 2 GiB memory blocks must find room for 1 GiB.
TEST_F(MemBlocksTest, TheUsableRegionHoldsWholeMemoryBlocks) {
  constexpr uint64_t kGiB = 1ull << 30;
  DeviceMemory& large =
      memory_.AddDevice(*DeviceMemory::Create({.flag = "large",
                                               .base = Gpa{8 * kGiB},
                                               .size = 64 * kGiB,
                                               .block_size = kBlock,
                                               .backing = {}}));
  const MemBlocks blocks(
      large,
      {.requested = kGiB, .memory_block = 2 * kGiB, .node = std::nullopt},
      [] {});
  EXPECT_EQ(blocks.config().usable_region_size, 6 * kGiB);
}

}  // namespace
}  // namespace kvmlet::virtio
