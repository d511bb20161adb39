// SPDX-License-Identifier: Apache-2.0
// The framing of gdb's protocol, fed by a client that means no good.
#include "vmm/debug/rsp_packet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "vmm/debug/rsp_text.h"

namespace kvmlet {
namespace {

using Kind = RspReader::Kind;
using testing::ElementsAre;

std::string Packet(std::string_view payload) {
  std::string out;
  AppendPacket(payload, out);
  return out;
}

std::vector<RspReader::Item> ReadAll(RspReader& reader, std::string_view bytes,
                                     size_t piece) {
  std::vector<RspReader::Item> items;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    reader.Push(part);
    while (auto item = reader.Next()) items.push_back(*std::move(item));
  }
  return items;
}

TEST(RspPacketTest, EveryCutGivesTheSamePackets) {
  const std::string stream =
      "+" + Packet("qSupported") + "\x03-" + Packet("a}\x03z") + Packet("");
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    RspReader reader;
    const auto items = ReadAll(reader, stream, piece);
    ASSERT_EQ(items.size(), 6u) << piece;
    EXPECT_EQ(items[0].kind, Kind::kAck);
    EXPECT_EQ(items[1].payload, "qSupported");
    EXPECT_EQ(items[2].kind, Kind::kInterrupt);
    EXPECT_EQ(items[3].kind, Kind::kNak);
    EXPECT_EQ(items[4].payload, "a#z");  // '}' 0x03 is an escaped '#'
    EXPECT_EQ(items[5].payload, "");
  }
}

TEST(RspPacketTest, ADamagedPacketIsSaidToBeSo) {
  for (const char* bytes : {"$g#00", "$g#zz", "$g#6", "$#01"}) {
    RspReader reader;
    reader.Push(bytes);
    const auto item = reader.Next();
    if (std::string_view(bytes) == "$g#6") {
      EXPECT_FALSE(item) << "half a checksum is not one yet";
      continue;
    }
    ASSERT_TRUE(item) << bytes;
    EXPECT_EQ(item->kind, Kind::kBadChecksum) << bytes;
  }
}

TEST(RspPacketTest, AnInterruptInsideAPacketIsData) {
  RspReader reader;
  const auto items = ReadAll(reader, Packet("X\x03"), 1);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].payload, "X\x03");
}

TEST(RspPacketTest, ALostEndDoesNotTakeTheNextPacketAlong) {
  RspReader reader;
  const auto items = ReadAll(reader, "$m1000,4" + Packet("g"), 3);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].payload, "g");
}

TEST(RspPacketTest, APacketWithoutEndIsSkippedAsAWhole) {
  RspReader reader;
  const std::string longest(RspReader::kMaxPayload, 'a');
  auto items = ReadAll(reader, Packet(longest), 4096);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].payload.size(), longest.size());
  items = ReadAll(reader, Packet(longest + "a") + Packet("g"), 4096);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].kind, Kind::kTooLong);
  EXPECT_TRUE(items[0].payload.empty());
  EXPECT_EQ(items[1].payload, "g");
}

TEST(RspPacketTest, BinaryBytesSurviveTheRoundTrip) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  std::string payload;
  AppendBinary(bytes, payload);
  EXPECT_EQ(payload.size(), 256u + 4);
  RspReader reader;
  const auto items = ReadAll(reader, Packet(payload), 7);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].payload, bytes);
}

TEST(RspPacketTest, ABinaryPrefixFitsIntoItsRoom) {
  EXPECT_EQ(BinaryPrefix("ab#d", 100), 4u);
  EXPECT_EQ(BinaryPrefix("ab#d", 4), 3u);
  EXPECT_EQ(BinaryPrefix("ab#d", 3), 2u);
  EXPECT_EQ(BinaryPrefix("####", 1), 0u);
}

TEST(RspTextTest, NumbersEndWhereTheirDigitsDo) {
  RspCursor cursor("fFfF,10");
  EXPECT_EQ(cursor.Hex(), 0xffffu);
  EXPECT_TRUE(cursor.Skip(','));
  EXPECT_EQ(cursor.Hex(), 0x10u);
  EXPECT_TRUE(cursor.AtEnd());
  EXPECT_EQ(RspCursor("ffffffffffffffff").Hex(), ~0ull);
  for (const char* text : {"", ",", "-1", "g", "10000000000000000"}) {
    EXPECT_EQ(RspCursor(text).Hex(), std::nullopt) << text;
  }
}

TEST(RspTextTest, BytesArePairsOfDigits) {
  EXPECT_THAT(*RspCursor("00fF7a").HexBytes(),
              ElementsAre(std::byte{0}, std::byte{0xff}, std::byte{0x7a}));
  EXPECT_TRUE(RspCursor("").HexBytes()->empty());
  for (const char* text : {"0", "0g", "0 ", "000"}) {
    EXPECT_EQ(RspCursor(text).HexBytes(), std::nullopt) << text;
  }
}

TEST(RspTextTest, ThreadsAreNamedInSeveralWays) {
  using ThreadKind = RspThread::Kind;
  const auto parse = [](const char* text) { return RspCursor(text).Thread(); };
  EXPECT_EQ(parse("p1.2")->vcpu, 1u);
  EXPECT_EQ(parse("2")->vcpu, 1u);
  EXPECT_EQ(parse("p1.-1")->kind, ThreadKind::kAll);
  EXPECT_EQ(parse("-1")->kind, ThreadKind::kAll);
  EXPECT_EQ(parse("p-1.-1")->kind, ThreadKind::kAll);
  EXPECT_EQ(parse("p1")->kind, ThreadKind::kAll);
  EXPECT_EQ(parse("0")->kind, ThreadKind::kAny);
  EXPECT_EQ(parse("p0.0")->kind, ThreadKind::kAny);
  for (const char* text : {"", "p", "p2.1", "p1.", "x", "p1.x"}) {
    EXPECT_EQ(parse(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace kvmlet
