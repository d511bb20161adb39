// SPDX-License-Identifier: Apache-2.0
// What a hostile driver may ask of the block device.
#include <string>

#include "tests/devices/virtio/blk/blk_fixture.h"

namespace kvmlet::virtio {
namespace {

using BlkHostileTest = BlkFixture;

TEST_F(BlkHostileTest, ShortHeaderIsAnIoError) {
  Activate();
  const auto request = driver_.ReadableText("short").Writable(1).Submit();
  EXPECT_EQ(StatusOf(request), kBlkIoError);
}

TEST_F(BlkHostileTest, NoHeaderIsAnIoError) {
  Activate();
  const auto request = driver_.Writable(512).Writable(1).Submit();
  EXPECT_EQ(StatusOf(request), kBlkIoError);
  EXPECT_EQ(request.WritableBytes(0)[0], std::byte{0xa5});
}

TEST_F(BlkHostileTest, NoStatusByteAsksForReset) {
  Activate();
  driver_.Readable(BlkHeader{kBlkOut, 0, 0}).Submit();
  Serve();
  EXPECT_EQ(events_.resets_asked, 1);
  EXPECT_EQ(driver_.used_index(), 0);
}

TEST_F(BlkHostileTest, BrokenQueueServesNoMoreAndAsksOnce) {
  Activate();
  driver_.Readable(BlkHeader{kBlkOut, 0, 0}).Submit();
  Serve();
  Read(0, 512);
  Serve();
  EXPECT_EQ(events_.resets_asked, 1);
  EXPECT_EQ(driver_.used_index(), 0);
}

TEST_F(BlkHostileTest, WriteGoodAndBadSectors) {
  Activate();
  const std::string data(512, 'd');
  const auto good = Request(kBlkOut, 0, data);
  const auto bad = Request(kBlkOut, kDiskSectors, data);
  const auto last = Request(kBlkOut, kDiskSectors - 1, data);
  EXPECT_TRUE(Serve(3));
  EXPECT_EQ(good.StatusByte(), kBlkOk);
  EXPECT_EQ(bad.StatusByte(), kBlkIoError);
  EXPECT_EQ(last.StatusByte(), kBlkOk);
  EXPECT_EQ(ImageBytes(kDiskSectors, 1), "");
}

TEST_F(BlkHostileTest, ReadAcrossTheEnd) {
  Activate();
  const auto request = Read(kDiskSectors - 1, 1024);
  EXPECT_EQ(StatusOf(request), kBlkIoError);
  EXPECT_EQ(request.WritableBytes(0)[0], std::byte{0xa5});
  EXPECT_EQ(driver_.PopUsed()->len, 1u);
}

TEST_F(BlkHostileTest, SectorsThatOverflow) {
  Activate();
  for (const uint64_t sector : {UINT64_MAX, UINT64_MAX / 512,
                                UINT64_MAX / 512 + 1, uint64_t{1} << 55}) {
    EXPECT_EQ(StatusOf(Read(sector, 1024)), kBlkIoError) << sector;
  }
}

TEST_F(BlkHostileTest, OddLength) {
  Activate();
  EXPECT_EQ(StatusOf(Read(0, 511)), kBlkIoError);
  EXPECT_EQ(StatusOf(Request(kBlkOut, 0, std::string(513, 'x'))), kBlkIoError);
}

TEST_F(BlkHostileTest, NoData) {
  Activate();
  driver_.Readable(BlkHeader{kBlkIn, 0, 0}).Writable(1);
  EXPECT_EQ(StatusOf(driver_.Submit()), kBlkOk);
  EXPECT_EQ(StatusOf(Request(kBlkOut, 0, "")), kBlkOk);
  EXPECT_EQ(StatusOf(Request(kBlkOut, UINT64_MAX, "")), kBlkIoError);
}

TEST_F(BlkHostileTest, UnknownType) {
  Activate();
  for (const uint32_t type : {2u, 3u, 5u, 9u, 14u, 15u, UINT32_MAX}) {
    EXPECT_EQ(StatusOf(Request(type, 0, "")), kBlkUnsupported) << type;
  }
}

TEST_F(BlkHostileTest, ReadOnlyDiskTakesNoChange) {
  FillImage('x');
  options_.read_only = true;
  Activate();
  EXPECT_EQ(StatusOf(Request(kBlkOut, 0, std::string(512, 'd'))), kBlkIoError);
  EXPECT_EQ(StatusOf(Ranges(kBlkDiscard, {{0, 8, 0}})), kBlkIoError);
  EXPECT_EQ(StatusOf(Ranges(kBlkWriteZeroes, {{0, 8, 0}})), kBlkIoError);
  EXPECT_EQ(ImageBytes(0, 4096), std::string(4096, 'x'));
  EXPECT_EQ(StatusOf(Request(kBlkFlush, 0, "")), kBlkOk);
}

TEST_F(BlkHostileTest, RangesWithoutTheirFeature) {
  Activate(kFeatureVersion1);
  EXPECT_EQ(StatusOf(Ranges(kBlkDiscard, {{0, 8, 0}})), kBlkUnsupported);
  EXPECT_EQ(StatusOf(Ranges(kBlkWriteZeroes, {{0, 8, 0}})), kBlkUnsupported);
}

TEST_F(BlkHostileTest, RangeThatOverflows) {
  FillImage('x');
  Activate();
  const std::vector<BlkRange> bad = {
      {UINT64_MAX, 8, 0},   {UINT64_MAX - 7, 8, 0},
      {kDiskSectors, 1, 0}, {kDiskSectors - 1, 2, 0},
      {0, UINT32_MAX, 0},   {0, kBlkMaxRangeSectors + 1, 0}};
  for (const BlkRange& range : bad) {
    EXPECT_EQ(StatusOf(Ranges(kBlkDiscard, {range})), kBlkIoError);
    EXPECT_EQ(StatusOf(Ranges(kBlkWriteZeroes, {range})), kBlkIoError);
  }
}

TEST_F(BlkHostileTest, OneBadRangeSparesAllOthers) {
  FillImage('x');
  Activate();
  EXPECT_EQ(StatusOf(Ranges(kBlkDiscard, {{0, 8, 0}, {kDiskSectors, 8, 0}})),
            kBlkIoError);
  EXPECT_EQ(ImageBytes(0, 4096), std::string(4096, 'x'));
}

TEST_F(BlkHostileTest, UnknownRangeFlags) {
  Activate();
  EXPECT_EQ(StatusOf(Ranges(kBlkDiscard, {{0, 8, kBlkRangeUnmap}})),
            kBlkUnsupported);
  EXPECT_EQ(StatusOf(Ranges(kBlkDiscard, {{0, 8, 4}})), kBlkUnsupported);
  EXPECT_EQ(StatusOf(Ranges(kBlkWriteZeroes, {{0, 8, 2}})), kBlkUnsupported);
}

TEST_F(BlkHostileTest, RangeListOfWrongSize) {
  Activate();
  EXPECT_EQ(StatusOf(Request(kBlkDiscard, 0, "")), kBlkIoError);
  EXPECT_EQ(StatusOf(Request(kBlkDiscard, 0, std::string(15, '\0'))),
            kBlkIoError);
  EXPECT_EQ(
      StatusOf(Ranges(kBlkDiscard, std::vector<BlkRange>(kBlkMaxRanges + 1))),
      kBlkIoError);
}

TEST_F(BlkHostileTest, EmptyRangesAreFine) {
  Activate();
  EXPECT_EQ(StatusOf(Ranges(kBlkDiscard, std::vector<BlkRange>(kBlkMaxRanges))),
            kBlkOk);
}

TEST_F(BlkHostileTest, GetIdIntoAShortBuffer) {
  Activate();
  const auto request = driver_.Readable(BlkHeader{kBlkGetId, 0, 0})
                           .Writable(19)
                           .Writable(1)
                           .Submit();
  EXPECT_EQ(StatusOf(request), kBlkIoError);
}

TEST_F(BlkHostileTest, GetIdIntoALongBufferWritesTwentyBytes) {
  Activate();
  const auto request = driver_.Readable(BlkHeader{kBlkGetId, 0, 0})
                           .Writable(64)
                           .Writable(1)
                           .Submit();
  EXPECT_EQ(StatusOf(request), kBlkOk);
  EXPECT_EQ(request.WritableBytes(0)[20], std::byte{0xa5});
}

TEST_F(BlkHostileTest, HeaderThatOverlapsTheStatusAndTheData) {
  FillImage('x');
  Activate();
  const Gpa at = driver_.Allocate(1024);
  ASSERT_TRUE(memory_.Store(at, BlkHeader{kBlkIn, 0, 0}));
  driver_.ReadableAt(at, sizeof(BlkHeader)).WritableAt(at, 513).Submit();
  EXPECT_TRUE(Serve());
  EXPECT_EQ(memory_.Load<uint8_t>(at + 512), kBlkOk);
}

TEST_F(BlkHostileTest, SameHeadTwiceInOneBatch) {
  Activate();
  const auto request = Read(0, 512);
  driver_.MakeAvailable(request.head());
  EXPECT_TRUE(Serve(2));
  EXPECT_EQ(request.StatusByte(), kBlkOk);
}

TEST_F(BlkHostileTest, RequestRewrittenAfterItWasTaken) {
  FillImage('x');
  Activate();
  const auto request = Read(0, 512);
  EXPECT_EQ(StatusOf(request), kBlkOk);
  driver_.SetDescriptor(request.head(), {~0ull, ~0u, 0xffff, 0xffff});
  driver_.MakeAvailable(request.head());
  Serve();
  EXPECT_EQ(events_.resets_asked, 1);
}

TEST_F(BlkHostileTest, IndexJumpAsksForReset) {
  Activate();
  driver_.SetAvailIndex(1000);
  kick_.Signal();
  EXPECT_TRUE(RunUntil([this] { return events_.resets_asked == 1; }));
}

TEST_F(BlkHostileTest, BufferOutsideRamAsksForReset) {
  Activate();
  driver_.Readable(BlkHeader{kBlkIn, 0, 0})
      .WritableAt(Gpa{1ull << 40}, 512)
      .Writable(1)
      .Submit();
  Serve();
  EXPECT_EQ(events_.resets_asked, 1);
}

TEST_F(BlkHostileTest, BufferOverTheRingsDoesNoHarm) {
  FillImage('\xff');
  Activate();
  driver_.Readable(BlkHeader{kBlkIn, 0, 0})
      .WritableAt(driver_.config().driver, 512)
      .Writable(1)
      .Submit();
  kick_.Signal();
  RunUntil(
      [this] { return events_.resets_asked > 0 || driver_.used_index() > 0; });
  SUCCEED();
}

}  // namespace
}  // namespace kvmlet::virtio
