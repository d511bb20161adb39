// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/bzimage.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/arch/x86_64/boot/images.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::arch::x86_64 {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::StatusOr<KernelPlan> Plan(const BzImageParts& parts) {
  return PlanBzImage(AsFile(parts.Build()));
}

std::string Refusal(const BzImageParts& parts) {
  const auto plan = Plan(parts);
  EXPECT_EQ(ExitStatusFor(plan.status()), 65);
  EXPECT_THAT(Message(plan.status()), StartsWith("--kernel x: "));
  return Message(plan.status());
}

TEST(BzImageTest, IsKnownByItsMagic) {
  BzImageParts parts;
  EXPECT_TRUE(IsBzImage(AsFile(parts.Build())));
  parts.header.header = 0x12345678;
  EXPECT_FALSE(IsBzImage(AsFile(parts.Build())));
  EXPECT_FALSE(IsBzImage(AsFile(Bytes(0x203))));
}

TEST(BzImageTest, PayloadGoesToThePreferredAddress) {
  const auto plan = Plan(BzImageParts());

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->protocol, BootProtocol::kLinux64);
  ASSERT_EQ(plan->segments.size(), 1u);
  EXPECT_EQ(plan->segments[0].at, Gpa{0x1000000});
  EXPECT_EQ(plan->segments[0].file_offset, 1024u);
  EXPECT_EQ(plan->segments[0].file_size, kPayloadSize);
  EXPECT_EQ(plan->segments[0].memory_size, 0x100000u);
}

TEST(BzImageTest, EntryIs512BytesIntoThePayload) {
  const auto plan = Plan(BzImageParts());

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->entry, Gpa{0x1000200});
}

TEST(BzImageTest, LimitsComeFromTheHeader) {
  BzImageParts parts;
  parts.header.initrd_addr_max = 0x37ffffff;
  parts.header.cmdline_size = 255;

  const auto plan = Plan(parts);

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->initrd_limit, 0x38000000u);
  EXPECT_EQ(plan->command_line_max, 255u);
}

TEST(BzImageTest, InitrdLimitOfAllOnesDoesNotWrap) {
  BzImageParts parts;
  parts.header.initrd_addr_max = 0xffffffff;

  const auto plan = Plan(parts);

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->initrd_limit, 0x100000000u);
}

TEST(BzImageTest, ZeroSetupSectorsMeansFour) {
  BzImageParts parts;
  parts.header.setup_sects = 0;

  const auto plan = Plan(parts);

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->segments[0].file_offset, 5u * 512);
}

TEST(BzImageTest, BytesBehindThePayloadAreNotLoaded) {
  BzImageParts parts;
  parts.file_payload = kPayloadSize + 777;  // a signature

  const auto plan = Plan(parts);

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->segments[0].file_size, kPayloadSize);
}

TEST(BzImageTest, FieldsBeyondTheHeadersEndReadAsZero) {
  BzImageParts parts;
  parts.header_length = 0x62;  // ends behind init_size
  parts.header.handover_offset = 0x1234;

  const auto plan = Plan(parts);

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->header->handover_offset, 0u);
}

TEST(BzImageTest, TruncatedPayloadNamesBothSizes) {
  BzImageParts parts;
  parts.file_payload = 1000;

  EXPECT_THAT(Refusal(parts),
              HasSubstr("truncated bzImage: the header says 16384 bytes of "
                        "payload after offset 1024, the file has 2024"));
}

TEST(BzImageTest, TruncatedHeaderIsRefused) {
  Bytes bytes = BzImageParts().Build();
  bytes.resize(0x210);

  const auto plan = PlanBzImage(AsFile(bytes));

  EXPECT_THAT(Message(plan.status()), HasSubstr("truncated bzImage"));
}

TEST(BzImageTest, HeaderShorterThanItsFieldsIsRefused) {
  BzImageParts parts;
  parts.header_length = 0x40;
  EXPECT_THAT(Refusal(parts), HasSubstr("setup header is only"));
}

TEST(BzImageTest, WrongBootFlagIsRefused) {
  BzImageParts parts;
  parts.header.boot_flag = 0x1234;
  EXPECT_THAT(Refusal(parts), HasSubstr("boot flag 0x1234"));
}

TEST(BzImageTest, OldProtocolIsRefusedWithItsVersion) {
  BzImageParts parts;
  parts.header.version = 0x205;
  EXPECT_THAT(Refusal(parts), HasSubstr("boot protocol 2.05 is too old"));
}

TEST(BzImageTest, ThirtyTwoBitKernelIsRefused) {
  BzImageParts parts;
  parts.header.xloadflags = 0;
  EXPECT_THAT(Refusal(parts), HasSubstr("32-bit Linux kernel"));
}

TEST(BzImageTest, ZImageIsRefused) {
  BzImageParts parts;
  parts.header.loadflags = 0;
  EXPECT_THAT(Refusal(parts), HasSubstr("zImage"));
}

TEST(BzImageTest, PayloadTooSmallForItsEntryIsRefused) {
  BzImageParts parts;
  parts.header.syssize = 0x200 / 16;
  EXPECT_THAT(Refusal(parts), HasSubstr("damaged bzImage"));
}

TEST(BzImageTest, PackedKernelBeyondThePayloadIsRefused) {
  BzImageParts parts;
  parts.header.payload_offset = 0xfffffff0;
  parts.header.payload_length = 0xfffffff0;
  EXPECT_THAT(Refusal(parts), HasSubstr("damaged bzImage"));
}

TEST(BzImageTest, HugePayloadSizeIsRefused) {
  BzImageParts parts;
  parts.header.syssize = 0xffffffff;
  EXPECT_THAT(Refusal(parts), HasSubstr("truncated bzImage"));
}

TEST(BzImageTest, LowAddressOfAFixedKernelIsRefused) {
  BzImageParts parts;
  parts.header.pref_address = 0x8000;
  parts.header.relocatable_kernel = 0;
  EXPECT_THAT(Refusal(parts), HasSubstr("below 1 MiB"));
}

TEST(BzImageTest, RelocatableKernelWithoutAPreferenceIsAligned) {
  BzImageParts parts;
  parts.header.pref_address = 0;

  const auto plan = Plan(parts);

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->segments[0].at, Gpa{0x200000});
}

TEST(BzImageTest, AlignmentThatIsNoPowerOfTwoIsRefused) {
  BzImageParts parts;
  parts.header.pref_address = 0;
  parts.header.kernel_alignment = 0x300000;
  EXPECT_THAT(Refusal(parts), HasSubstr("damaged bzImage"));
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
