// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/regions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <cstring>

namespace kvmlet::vfio {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kPage = 4096;

Region Mappable(uint64_t size) {
  Region region;
  region.size = size;
  region.mappable = true;
  return region;
}

TEST(MappableAreasTest, WholeBarWithoutHoles) {
  EXPECT_THAT(MappableAreas(Mappable(0x4000), {}, kPage),
              ElementsAre(Area{0, 0x4000}));
}

TEST(MappableAreasTest, NothingWhereTheKernelForbidsIt) {
  Region region = Mappable(0x4000);
  region.mappable = false;
  EXPECT_THAT(MappableAreas(region, {}, kPage), IsEmpty());
  EXPECT_THAT(MappableAreas(Mappable(0), {}, kPage), IsEmpty());
}

TEST(MappableAreasTest, PagesOfTheTableAreLeftOut) {
  const std::vector<Area> holes{{0x2000, 0x30}, {0x3000, 8}};
  EXPECT_THAT(MappableAreas(Mappable(0x4000), holes, kPage),
              ElementsAre(Area{0, 0x2000}));
}

TEST(MappableAreasTest, UnalignedTableTakesEveryPageItTouches) {
  const std::vector<Area> holes{{0x5200, 0x1000}};
  EXPECT_THAT(MappableAreas(Mappable(0x10000), holes, kPage),
              ElementsAre(Area{0, 0x5000}, Area{0x7000, 0x9000}));
  EXPECT_THAT(MappableAreas(Mappable(0x10000), holes, 0x10000), IsEmpty());
}

TEST(MappableAreasTest, HoleBeyondTheBarDoesNothing) {
  const std::vector<Area> holes{{0x4000, 8}, {UINT64_MAX - 4, 8}, {0, 0}};
  EXPECT_THAT(MappableAreas(Mappable(0x4000), holes, kPage),
              ElementsAre(Area{0, 0x4000}));
}

TEST(MappableAreasTest, HoleThatReachesOutIsCutOff) {
  const std::vector<Area> holes{{0x3000, UINT64_MAX - 0x3000}};
  EXPECT_THAT(MappableAreas(Mappable(0x4000), holes, kPage),
              ElementsAre(Area{0, 0x3000}));
}

TEST(MappableAreasTest, SmallBarHasItsPage) {
  EXPECT_THAT(MappableAreas(Mappable(256), {}, kPage),
              ElementsAre(Area{0, kPage}));
}

TEST(MappableAreasTest, SparseListIsHonouredAndItsNonsenseIsNot) {
  Region region = Mappable(0x10000);
  region.sparse = std::vector<Area>{{0x1000, 0x1000},
                                    {0x4000, 0x2000},
                                    {0x8001, 0x1000},
                                    {0xf000, 0x2000},
                                    {0x2000, 0}};
  EXPECT_THAT(MappableAreas(region, std::vector<Area>{{0x4000, 16}}, kPage),
              ElementsAre(Area{0x1000, 0x1000}, Area{0x5000, 0x1000}));
}

class ParseTest : public ::testing::Test {
 protected:
  template <typename T>
  void Put(size_t at, const T& value) {
    if (bytes_.size() < at + sizeof value) bytes_.resize(at + sizeof value);
    std::memcpy(bytes_.data() + at, &value, sizeof value);
  }
  void PutHead(uint32_t cap_offset) {
    vfio_region_info info{};
    info.flags = VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_READ |
                 VFIO_REGION_INFO_FLAG_CAPS;
    info.size = 0x10000;
    info.cap_offset = cap_offset;
    Put(0, info);
  }
  std::vector<std::byte> bytes_;
};

TEST_F(ParseTest, SparseAreas) {
  PutHead(32);
  vfio_info_cap_header header{
      .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1, .next = 0};
  Put(32, header);
  Put<uint32_t>(40, 1);
  Put<uint32_t>(44, 0);
  Put<uint64_t>(48, 0x2000);
  Put<uint64_t>(56, 0x3000);
  const auto region = ParseRegion(bytes_);
  ASSERT_TRUE(region.ok());
  EXPECT_TRUE(region->readable);
  EXPECT_FALSE(region->writable);
  ASSERT_TRUE(region->sparse);
  EXPECT_THAT(*region->sparse, ElementsAre(Area{0x2000, 0x3000}));
}

TEST_F(ParseTest, ChainThatLoopsOrLeadsOutEnds) {
  PutHead(32);
  Put(32, vfio_info_cap_header{.id = 99, .version = 1, .next = 32});
  EXPECT_TRUE(ParseRegion(bytes_).ok());
  PutHead(0xfffffff0);
  EXPECT_TRUE(ParseRegion(bytes_).ok());
  EXPECT_FALSE(ParseRegion(std::span(bytes_).first(8)).ok());
}

TEST_F(ParseTest, MoreAreasThanThereAreBytesFor) {
  PutHead(32);
  Put(32, vfio_info_cap_header{
              .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1, .next = 0});
  Put<uint32_t>(40, UINT32_MAX);
  Put<uint32_t>(44, 0);
  const auto region = ParseRegion(bytes_);
  ASSERT_TRUE(region.ok());
  EXPECT_THAT(*region->sparse, IsEmpty());
}

}  // namespace
}  // namespace kvmlet::vfio
