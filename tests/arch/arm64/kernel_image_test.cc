// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/kernel_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>

#include "tests/arch/arm64/images.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::arch::arm64 {
namespace {

using ::testing::HasSubstr;

Bytes Gzip(const Bytes& input) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, 0), Z_OK);
  Bytes out(deflateBound(&stream, input.size()));
  stream.next_in =
      reinterpret_cast<Bytef*>(const_cast<std::byte*>(input.data()));
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// linux/drivers/firmware/efi/libstub/zboot-header.S
Bytes Zboot(const Bytes& payload) {
  Bytes out(64 + payload.size());
  std::copy(payload.begin(), payload.end(), out.begin() + 64);
  Poke(out, 0, uint16_t{0x5a4d});
  Poke(out, 4, uint32_t{0x676d697a});
  Poke(out, 8, uint32_t{64});
  Poke(out, 12, static_cast<uint32_t>(payload.size()));
  return out;
}

void ExpectBadInput(const absl::StatusOr<KernelImage>& image,
                    const std::string& what) {
  ASSERT_FALSE(image.ok());
  EXPECT_EQ(ExitStatusFor(image.status()), 65);
  EXPECT_THAT(std::string(image.status().message()), HasSubstr(what));
  EXPECT_THAT(std::string(image.status().message()),
              HasSubstr("--kernel Image"));
}

TEST(Arm64ImageTest, HeaderSaysSizeOffsetAndPages) {
  const auto image =
      Examine(ImageParts{.text_offset = 0x10000, .flags = 0x0c}.Build());
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(image->plan().linux_image);
  EXPECT_EQ(image->plan().text_offset, 0x10000u);
  EXPECT_EQ(image->plan().memory_size, 0x300000u);
  EXPECT_EQ(image->plan().page_size, 16384u);
}

TEST(Arm64ImageTest, OldImageWithoutSizeGoesToTheClassicOffset) {
  const auto image = Examine(
      ImageParts{.text_offset = 0x1234, .image_size = 0, .flags = 0}.Build());
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->plan().text_offset, 0x80000u);
  EXPECT_EQ(image->plan().memory_size, 0x10000u);
  EXPECT_EQ(image->plan().page_size, 0u);
}

TEST(Arm64ImageTest, FlatBinaryNeedsNoHeader) {
  const auto image = Examine(Bytes(100, std::byte{0x14}));
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_FALSE(image->plan().linux_image);
  EXPECT_EQ(image->plan().text_offset, 0x80000u);
  EXPECT_EQ(image->plan().memory_size, 100u);
}

TEST(Arm64ImageTest, CompressedOnesAreUnpacked) {
  const Bytes plain = ImageParts().Build();
  for (const Bytes& packed : {Gzip(plain), Zboot(Gzip(plain)), Zboot(plain)}) {
    const auto image = Examine(packed);
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(image->plan().memory_size, 0x300000u);
    EXPECT_EQ(Bytes(image->file().bytes().begin(), image->file().bytes().end()),
              plain);
  }
}

TEST(Arm64ImageTest, BombIsRefused) {
  const Bytes packed = Gzip(Bytes(1 << 20));
  EXPECT_FALSE(KernelImage::FromBytes("Image", packed, 1 << 16).ok());
}

TEST(Arm64ImageTest, CutZbootIsRefused) {
  Bytes cut = Zboot(Gzip(ImageParts().Build()));
  cut.resize(cut.size() - 1);
  ExpectBadInput(Examine(cut), "cut off");
  Bytes empty = Zboot({});
  ExpectBadInput(Examine(empty), "cut off");
  Bytes wild = Zboot(Bytes(16));
  Poke(wild, 8, uint32_t{0xffffffff});
  ExpectBadInput(Examine(wild), "cut off");
}

TEST(Arm64ImageTest, ImpossibleHeadersAreRefused) {
  ExpectBadInput(Examine(ImageParts{.text_offset = UINT64_MAX}.Build()),
                 "impossible header");
  ExpectBadInput(Examine(ImageParts{.text_offset = 0x200000}.Build()),
                 "impossible header");
  ExpectBadInput(Examine(ImageParts{.image_size = UINT64_MAX}.Build()),
                 "impossible header");
}

TEST(Arm64ImageTest, KernelsOfOthersAreNamed) {
  Bytes bzimage(0x1000);
  Poke(bzimage, 0x202, uint32_t{0x53726448});
  ExpectBadInput(Examine(bzimage), "x86 bzImage");
  Bytes elf(64);
  Poke(elf, 0, uint32_t{0x464c457f});
  ExpectBadInput(Examine(elf), "ELF");
  Bytes efi(64);
  Poke(efi, 0, uint16_t{0x5a4d});
  ExpectBadInput(Examine(efi), "EFI program");
}

TEST(Arm64ImageTest, HostWithoutTheKernelsPageSizeIsTold) {
  const auto image16 = Examine(ImageParts{.flags = 0x0c}.Build());
  const auto image64 = Examine(ImageParts{.flags = 0x0e}.Build());
  const auto image4 = Examine(ImageParts{.flags = 0x0a}.Build());
  // TGran4, TGran64, TGran16 of a CPU with 4K pages only, and with all.
  constexpr uint64_t kOnly4 = 0x0f000000;
  constexpr uint64_t kAll = 0x00100000;
  constexpr uint64_t kOnly16 = 0xff100000;
  EXPECT_TRUE(image4->CheckPageSize(kOnly4).ok());
  EXPECT_FALSE(image16->CheckPageSize(kOnly4).ok());
  EXPECT_FALSE(image64->CheckPageSize(kOnly4).ok());
  EXPECT_TRUE(image16->CheckPageSize(kAll).ok());
  EXPECT_TRUE(image64->CheckPageSize(kAll).ok());
  EXPECT_FALSE(image4->CheckPageSize(kOnly16).ok());
  EXPECT_THAT(std::string(image16->CheckPageSize(kOnly4).message()),
              HasSubstr("pages of 16 KiB"));
}

}  // namespace
}  // namespace kvmlet::arch::arm64
