// SPDX-License-Identifier: Apache-2.0
#include "vmm/bus/bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace kvmlet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Remembers offset and width of every access; reads as its fill byte.
class Recorder : public IoDevice {
 public:
  explicit Recorder(std::string name, std::byte fill = std::byte{0x11})
      : name_(std::move(name)), fill_(fill) {}
  std::string_view name() const override { return name_; }
  void Read(uint64_t offset, std::span<std::byte> data) override {
    reads.emplace_back(offset, data.size());
    for (std::byte& b : data) b = fill_;
  }
  void Write(uint64_t offset, std::span<const std::byte> data) override {
    writes.emplace_back(offset, LoadLe(data));
  }

  std::vector<std::pair<uint64_t, size_t>> reads;
  std::vector<std::pair<uint64_t, uint64_t>> writes;

 private:
  std::string name_;
  std::byte fill_;
};

AddressRange Range(uint64_t base, uint64_t size) {
  return *AddressRange::Make(base, size);
}

class BusTest : public testing::Test {
 protected:
  uint64_t Read(uint64_t address, size_t width, bool& answered) {
    std::array<std::byte, 8> data{};
    answered = bus_.Read(address, std::span(data).first(width));
    return LoadLe(data);
  }
  bool Write(uint64_t address, size_t width, uint64_t value) {
    std::array<std::byte, 8> data{};
    StoreLe(value, data);
    return bus_.Write(address, std::span(data).first(width));
  }

  Bus bus_{"mmio"};
  Recorder one_{"one", std::byte{0x11}};
  Recorder two_{"two", std::byte{0x22}};
};

TEST_F(BusTest, FindsTheDeviceAndItsOffset) {
  ASSERT_TRUE(bus_.Add(Range(0x2000, 0x100), two_).ok());
  ASSERT_TRUE(bus_.Add(Range(0x1000, 0x100), one_).ok());
  bus_.Seal();
  bool answered = false;
  EXPECT_EQ(Read(0x1004, 4, answered), 0x11111111u);
  EXPECT_TRUE(answered);
  EXPECT_TRUE(Write(0x20ff, 1, 0xab));
  EXPECT_THAT(one_.reads, ElementsAre(std::pair<uint64_t, size_t>(4, 4)));
  EXPECT_THAT(two_.writes,
              ElementsAre(std::pair<uint64_t, uint64_t>(255, 0xab)));
}

TEST_F(BusTest, EveryWidthReachesTheDeviceAsItIs) {
  ASSERT_TRUE(bus_.Add(Range(0, 64), one_).ok());
  for (size_t width = 1; width <= 8; ++width) {
    EXPECT_TRUE(Write(width, width, 0x0102030405060708));
  }
  ASSERT_EQ(one_.writes.size(), 8u);
  EXPECT_EQ(one_.writes[0].second, 0x08u);
  EXPECT_EQ(one_.writes[2].second, 0x060708u);
  EXPECT_EQ(one_.writes[7].second, 0x0102030405060708u);
}

TEST_F(BusTest, UnclaimedReadsAreAllOnesAndWritesVanish) {
  bool answered = true;
  EXPECT_EQ(Read(0x5000, 2, answered), 0xffffu);
  EXPECT_FALSE(answered);
  EXPECT_FALSE(Write(0x5000, 8, 1));
}

TEST_F(BusTest, AnAccessAcrossAnEdgeIsNobodys) {
  ASSERT_TRUE(bus_.Add(Range(0x1000, 0x10), one_).ok());
  ASSERT_TRUE(bus_.Add(Range(0x1010, 0x10), two_).ok());
  bool answered = true;
  EXPECT_EQ(Read(0x100e, 4, answered), 0xffffffffu);
  EXPECT_FALSE(answered);
  EXPECT_FALSE(Write(0xffe, 4, 1));
  EXPECT_FALSE(Write(0x101e, 4, 1));
  EXPECT_THAT(one_.reads, IsEmpty());
  EXPECT_THAT(two_.writes, IsEmpty());
}

TEST_F(BusTest, TheTopOfTheAddressSpaceDoesNotWrap) {
  ASSERT_TRUE(bus_.Add(Range(0, 0x10), one_).ok());
  ASSERT_TRUE(bus_.Add(Range(UINT64_MAX - 15, 16), two_).ok());
  EXPECT_TRUE(Write(UINT64_MAX, 1, 1));
  EXPECT_FALSE(Write(UINT64_MAX, 2, 1));
  EXPECT_FALSE(Write(UINT64_MAX - 3, 8, 1));
  EXPECT_THAT(one_.writes, IsEmpty());
  EXPECT_THAT(two_.writes, ElementsAre(std::pair<uint64_t, uint64_t>(15, 1)));
}

TEST_F(BusTest, AnOverlapNamesBothDevices) {
  ASSERT_TRUE(bus_.Add(Range(0x1000, 0x100), one_).ok());
  for (const AddressRange range :
       {Range(0x10ff, 1), Range(0x1000, 0x100), Range(0xf00, 0x101),
        Range(0, 0x10000), Range(0x1010, 4)}) {
    const absl::Status status = bus_.Add(range, two_);
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
    EXPECT_THAT(std::string(status.message()), HasSubstr("mmio: two at"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("one at 0x1000"));
  }
}

TEST_F(BusTest, NeighboursDoNotOverlap) {
  ASSERT_TRUE(bus_.Add(Range(0x1000, 0x100), one_).ok());
  EXPECT_TRUE(bus_.Add(Range(0x1100, 0x100), two_).ok());
  EXPECT_TRUE(bus_.Add(Range(0xf00, 0x100), two_).ok());
}

TEST_F(BusTest, AfterSealNothingIsAdded) {
  bus_.Seal();
  EXPECT_DEATH(bus_.Add(Range(0, 1), one_).IgnoreError(), "Add after Seal");
}

TEST(IoDeviceTest, LittleEndianOfEveryWidth) {
  std::array<std::byte, 16> data{};
  for (size_t i = 0; i < data.size(); ++i) data[i] = std::byte(i + 1);
  EXPECT_EQ(LoadLe(std::span(data).first(3)), 0x030201u);
  EXPECT_EQ(LoadLe(data), 0x0807060504030201u);
  StoreLe(0xaabbccdd, std::span(data).first(2));
  EXPECT_EQ(data[1], std::byte{0xcc});
  EXPECT_EQ(data[2], std::byte{3});
  StoreLe(0, data);
  EXPECT_EQ(data[8], std::byte{9});
}

}  // namespace
}  // namespace kvmlet
