// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/pci_aperture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/fakes/fake_pci_device.h"

namespace kvmlet::pci {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr uint64_t kBase = 0xc0000000;
constexpr uint64_t kSize = 0x100000;

class ApertureTest : public ::testing::Test {
 protected:
  uint64_t Read(uint64_t offset, size_t width) {
    std::array<std::byte, 8> bytes{};
    aperture_.Read(offset, std::span(bytes).first(width));
    return LoadLe(bytes);
  }
  void Put(fakes::FakePciDevice& device, std::optional<uint64_t> address) {
    map_.Set(device, device.bars()[0], address);
  }

  BarMap map_{{*AddressRange::Make(kBase, kSize)}};
  PciAperture aperture_{"window", *AddressRange::Make(kBase, kSize), map_};
  fakes::FakePciDevice a_;
  fakes::FakePciDevice b_;
};

TEST_F(ApertureTest, RoutesToTheBarWithAnOffset) {
  Put(a_, kBase + 0x2000);
  EXPECT_EQ(Read(0x2010, 4), 0x10u);
  const std::array<std::byte, 2> data{std::byte{0x34}, std::byte{0x12}};
  aperture_.Write(0x2ffe, data);
  EXPECT_EQ(a_.last_offset, 0xffeu);
  EXPECT_EQ(a_.last_value, 0x1234u);
}

TEST_F(ApertureTest, AnAccessThatLeavesTheBarIsNobodys) {
  Put(a_, kBase + 0x2000);
  Put(b_, kBase + 0x3000);
  EXPECT_EQ(Read(0x2ffd, 4), 0xffffffffu);
  EXPECT_EQ(Read(0x1fff, 2), 0xffffu);
  EXPECT_EQ(Read(0x2ffc, 4), 0xffcu);
}

TEST_F(ApertureTest, NothingIsAllOnes) {
  EXPECT_EQ(Read(0, 8), ~uint64_t{0});
  const std::array<std::byte, 1> data{};
  aperture_.Write(0, data);
}

TEST_F(ApertureTest, BarsOutsideTheWindowAreNotMapped) {
  for (const uint64_t address : {uint64_t{0}, kBase - 0x1000, kBase + kSize,
                                 ~uint64_t{0xfff}, kBase + kSize - 0x800}) {
    Put(a_, address);
    EXPECT_THAT(a_.mapped, IsEmpty()) << address;
  }
}

TEST_F(ApertureTest, TheOlderOfTwoOverlappingBarsWins) {
  Put(a_, kBase);
  Put(b_, kBase);
  EXPECT_THAT(a_.mapped, ElementsAre(Pair(0, kBase)));
  EXPECT_THAT(b_.mapped, IsEmpty());
}

TEST_F(ApertureTest, ACoveredBarAppearsWhenItsPlaceBecomesFree) {
  Put(a_, kBase);
  Put(b_, kBase);
  Put(a_, kBase + 0x1000);
  EXPECT_THAT(a_.mapped, ElementsAre(Pair(0, kBase + 0x1000)));
  EXPECT_THAT(b_.mapped, ElementsAre(Pair(0, kBase)));
}

TEST_F(ApertureTest, BarsMaySwapPlaces) {
  Put(a_, kBase);
  Put(b_, kBase + 0x1000);
  Put(a_, kBase + 0x1000);
  Put(b_, kBase);
  Put(a_, std::nullopt);
  Put(a_, kBase + 0x1000);
  EXPECT_THAT(a_.mapped, ElementsAre(Pair(0, kBase + 0x1000)));
  EXPECT_THAT(b_.mapped, ElementsAre(Pair(0, kBase)));
}

TEST_F(ApertureTest, ADisabledBarIsUnmapped) {
  Put(a_, kBase);
  Put(a_, std::nullopt);
  EXPECT_THAT(a_.mapped, IsEmpty());
  EXPECT_EQ(Read(0, 4), 0xffffffffu);
}

}  // namespace
}  // namespace kvmlet::pci
