// SPDX-License-Identifier: Apache-2.0
#include "arch/common/aml_resources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/arch/common/acpi_reader.h"

namespace kvmlet::arch::aml {
namespace {

using ::testing::ElementsAre;

std::vector<ReadResource> Decoded(const Resource& resource) {
  Bytes bytes = resource.bytes();
  AppendByte(bytes, 0x79);
  const auto resources = ReadResources(bytes);
  EXPECT_TRUE(resources.ok()) << resources.status();
  return resources.value_or(std::vector<ReadResource>());
}

TEST(AmlResourcesTest, TemplateEndsWithTheEndTag) {
  const Bytes bytes = ResourceTemplate({Io(0x70, 2)}).bytes();
  ASSERT_EQ(bytes.size(), 14u);
  EXPECT_EQ(bytes[12], std::byte{0x79});
  EXPECT_EQ(bytes[13], std::byte{0});
}

TEST(AmlResourcesTest, DeviceDecodesItsOwnPortsAndMemory) {
  EXPECT_THAT(Decoded(Io(0x3f8, 8)),
              ElementsAre(ReadResource{
                  .kind = ReadResource::kIo, .base = 0x3f8, .size = 8}));
  EXPECT_THAT(
      Decoded(Memory32Fixed({0xe0000000, 0x10000000})),
      ElementsAre(ReadResource{.base = 0xe0000000, .size = 0x10000000}));
  EXPECT_THAT(
      Decoded(QWordMemory({0x4010000000, 0x10000000})),
      ElementsAre(ReadResource{.base = 0x4010000000, .size = 0x10000000}));
}

TEST(AmlResourcesTest, MemoryMayEndAtFourGigabytes) {
  EXPECT_THAT(Decoded(Memory32Window({0xc0000000, 0x40000000})),
              ElementsAre(ReadResource{
                  .window = true, .base = 0xc0000000, .size = 0x40000000}));
}

TEST(AmlResourcesTest, WindowsAreForTheDevicesBelow) {
  EXPECT_THAT(
      Decoded(BusWindow(0, 255)),
      ElementsAre(ReadResource{
          .kind = ReadResource::kBus, .window = true, .base = 0, .size = 256}));
  EXPECT_THAT(Decoded(IoWindow({0x1000, 0xf000})),
              ElementsAre(ReadResource{.kind = ReadResource::kIo,
                                       .window = true,
                                       .base = 0x1000,
                                       .size = 0xf000}));
  EXPECT_THAT(Decoded(Memory64Window({0x8000000000, 0x8000000000})),
              ElementsAre(ReadResource{
                  .window = true, .base = 0x8000000000, .size = 0x8000000000}));
}

TEST(AmlResourcesTest, InterruptSaysHowItIsDriven) {
  EXPECT_THAT(Decoded(Interrupt({.gsi = 9})),
              ElementsAre(ReadResource{
                  .kind = ReadResource::kInterrupt, .base = 9, .flags = 1}));
  EXPECT_THAT(Decoded(Interrupt({.gsi = 4, .level = false})),
              ElementsAre(ReadResource{
                  .kind = ReadResource::kInterrupt, .base = 4, .flags = 3}));
  EXPECT_THAT(Decoded(Interrupt({.gsi = 300, .active_low = true})),
              ElementsAre(ReadResource{
                  .kind = ReadResource::kInterrupt, .base = 300, .flags = 5}));
}

TEST(AmlResourcesDeathTest, RefusesRangesThatDoNotFit) {
  EXPECT_DEATH(Memory32Fixed({0xfffff000, 0x2000}), "");
  EXPECT_DEATH(Memory32Window({0x100000000, 0x1000}), "");
  EXPECT_DEATH(IoWindow({0xf000, 0x2000}), "");
  EXPECT_DEATH(Memory64Window({0x1000, 0}), "");
  EXPECT_DEATH(Memory64Window({~uint64_t{0}, 2}), "");
}

}  // namespace
}  // namespace kvmlet::arch::aml
