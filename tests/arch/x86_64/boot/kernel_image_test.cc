// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/kernel_image.h"

#include <zstd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/arch/x86_64/boot/images.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::arch::x86_64 {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Refusal(const Bytes& bytes) {
  const auto image = KernelImage::FromBytes("k", bytes);
  EXPECT_EQ(ExitStatusFor(image.status()), 65);
  EXPECT_THAT(Message(image.status()), StartsWith("--kernel k: "));
  return Message(image.status());
}

Bytes Zstd(const Bytes& plain) {
  Bytes out(ZSTD_compressBound(plain.size()));
  out.resize(
      ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 1));
  return out;
}

TEST(KernelImageTest, MissingFileExits66) {
  const auto image = KernelImage::Open("/nonexistent/vmlinuz");

  EXPECT_EQ(image.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ExitStatusFor(image.status()), 66);
  EXPECT_EQ(Message(image.status()),
            "--kernel /nonexistent/vmlinuz: No such file or directory "
            "(ENOENT)");
}

TEST(KernelImageTest, BzImageIsDetected) {
  const auto image = KernelImage::FromBytes("k", BzImageParts().Build());

  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(image->plan().header.has_value());
}

TEST(KernelImageTest, VmlinuxIsDetected) {
  const auto image = KernelImage::FromBytes("k", MakeElf64().Build());

  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->plan().protocol, BootProtocol::kLinux64);
  EXPECT_FALSE(image->plan().header.has_value());
}

TEST(KernelImageTest, MultibootIsDetected) {
  Elf32Parts elf = MakeElf32();
  Poke(elf.body, 0, uint32_t{0x1badb002});
  Poke(elf.body, 4, uint32_t{0});
  Poke(elf.body, 8, 0u - 0x1badb002);

  const auto image = KernelImage::FromBytes("k", elf.Build());

  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->plan().protocol, BootProtocol::kMultiboot);
}

TEST(KernelImageTest, SixtyFourBitMultibootElfHasARemedy) {
  Elf64Parts elf = MakeElf64();
  Poke(elf.body, 0, uint32_t{0x1badb002});
  Poke(elf.body, 4, uint32_t{0});
  Poke(elf.body, 8, 0u - 0x1badb002);

  EXPECT_THAT(Refusal(elf.Build()), HasSubstr("objcopy"));
}

TEST(KernelImageTest, CompressedKernelIsUnpacked) {
  const auto image = KernelImage::FromBytes("k", Zstd(BzImageParts().Build()));

  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->file().size(), 1024 + kPayloadSize);
  EXPECT_TRUE(image->plan().header.has_value());
}

TEST(KernelImageTest, DecompressionBombIsRefused) {
  const auto image =
      KernelImage::FromBytes("k", Zstd(Bytes(64 << 20)), 32 << 20);

  EXPECT_THAT(Message(image.status()), HasSubstr("more than the 32 MiB"));
}

TEST(KernelImageTest, Arm64ImageIsNamed) {
  Bytes bytes(0x1000);
  Poke(bytes, 0x38, uint32_t{0x644d5241});
  EXPECT_THAT(Refusal(bytes), HasSubstr("an arm64 Image"));
}

TEST(KernelImageTest, ZbootImageIsNamed) {
  Bytes bytes(0x1000);
  Poke(bytes, 0, uint32_t{0x5a4d});
  Poke(bytes, 4, uint32_t{0x676d697a});
  EXPECT_THAT(Refusal(bytes), HasSubstr("EFI zboot"));
}

TEST(KernelImageTest, OtherFilesAreRefused) {
  EXPECT_THAT(Refusal(Bytes(1)), HasSubstr("not a kernel kvmlet knows"));
  EXPECT_THAT(Refusal(Bytes(0x10000)), HasSubstr("not a kernel"));
}

TEST(KernelImageTest, EveryPrefixOfAGoodImageEndsInAnAnswer) {
  for (const Bytes& whole :
       {BzImageParts().Build(), MakeElf64().Build(), MakeElf32().Build()}) {
    for (size_t size = 0; size < 0x1200; size += 7) {
      const auto image = KernelImage::FromBytes(
          "k", std::span(whole).first(std::min(size, whole.size())));
      EXPECT_TRUE(image.ok() || ExitStatusFor(image.status()) == 65);
    }
  }
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
