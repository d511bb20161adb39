// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/zero_page.h"

#include <vector>

#include "gtest/gtest.h"
#include "tests/arch/x86_64/boot/images.h"

namespace kvmlet::arch::x86_64 {
namespace {

TEST(ZeroPageTest, HeaderOfTheKernelIsCopied) {
  ZeroPageInput input;
  input.header = BzImageParts().header;

  const boot_params page = BuildZeroPage(input);

  EXPECT_EQ(+page.hdr.version, 0x20f);
  EXPECT_EQ(+page.hdr.init_size, 0x100000u);
  EXPECT_EQ(page.hdr.type_of_loader, 0xff);
  EXPECT_EQ(page.sentinel, 0);
}

TEST(ZeroPageTest, PointersInTheFileAreNotPassedOn) {
  ZeroPageInput input;
  input.header = BzImageParts().header;
  input.header->setup_data = 0x1234;
  input.header->ramdisk_image = 0x5678;
  input.header->ramdisk_size = 0x9abc;

  const boot_params page = BuildZeroPage(input);

  EXPECT_EQ(+page.hdr.setup_data, 0u);
  EXPECT_EQ(+page.hdr.ramdisk_image, 0u);
  EXPECT_EQ(+page.hdr.ramdisk_size, 0u);
}

TEST(ZeroPageTest, VmlinuxGetsAHeaderThatLinuxAccepts) {
  const boot_params page = BuildZeroPage({});

  EXPECT_EQ(+page.hdr.header, 0x53726448u);
  EXPECT_EQ(+page.hdr.boot_flag, 0xaa55);
  EXPECT_GE(+page.hdr.version, 0x20c);
  EXPECT_EQ(page.hdr.type_of_loader, 0xff);
}

TEST(ZeroPageTest, AddressesAreWhereLinuxLooks) {
  ZeroPageInput input;
  input.command_line = Gpa{0x20000};
  input.initrd = Gpa{0x3000000};
  input.initrd_size = 0x1234;
  input.rsdp = Gpa{0xe0000};

  const boot_params page = BuildZeroPage(input);

  EXPECT_EQ(+page.hdr.cmd_line_ptr, 0x20000u);
  EXPECT_EQ(+page.hdr.ramdisk_image, 0x3000000u);
  EXPECT_EQ(+page.hdr.ramdisk_size, 0x1234u);
  EXPECT_EQ(+page.acpi_rsdp_addr, 0xe0000u);
}

TEST(ZeroPageTest, MapIsCopied) {
  const std::vector<E820Entry> map = MakeMap();
  ZeroPageInput input;
  input.map = map;

  const boot_params page = BuildZeroPage(input);

  ASSERT_EQ(page.e820_entries, 3);
  EXPECT_EQ(+page.e820_table[1].addr, 0x9fc00u);
  EXPECT_EQ(+page.e820_table[1].size, 0x60400u);
  EXPECT_EQ(+page.e820_table[1].type, 2u);
  EXPECT_EQ(+page.e820_table[3].size, 0u);
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
