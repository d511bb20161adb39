// SPDX-License-Identifier: Apache-2.0
#include "arch/common/decompress.h"

#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvmlet::arch {
namespace {

using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr size_t kLimit = 16 << 20;

uint8_t* Raw(Bytes& bytes) {
  return static_cast<uint8_t*>(static_cast<void*>(bytes.data()));
}

char* Chars(Bytes& bytes) {
  return static_cast<char*>(static_cast<void*>(bytes.data()));
}

// A little over 1 MiB, in bytes that pack well but not to nothing.
Bytes Sample() {
  Bytes bytes(5 << 18);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>((i >> 7) * 31 + (i & 3));
  }
  return bytes;
}

Bytes PackGzip(Bytes plain) {
  Bytes out(plain.size() + 1024);
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8,
                         Z_DEFAULT_STRATEGY),
            Z_OK);
  stream.next_in = Raw(plain);
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = Raw(out);
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Bytes PackZstd(Bytes plain) {
  Bytes out(ZSTD_compressBound(plain.size()));
  out.resize(
      ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 3));
  return out;
}

Bytes PackLz4Frame(Bytes plain) {
  Bytes out(LZ4F_compressFrameBound(plain.size(), nullptr));
  out.resize(LZ4F_compressFrame(out.data(), out.size(), plain.data(),
                                plain.size(), nullptr));
  return out;
}

Bytes PackLz4Legacy(Bytes plain) {
  Bytes out(8 + static_cast<size_t>(
                    LZ4_compressBound(static_cast<int>(plain.size()))));
  const uint32_t magic = 0x184c2102;
  const auto size = static_cast<uint32_t>(LZ4_compress_default(
      Chars(plain), Chars(out) + 8, static_cast<int>(plain.size()),
      static_cast<int>(out.size() - 8)));
  std::memcpy(out.data(), &magic, 4);
  std::memcpy(out.data() + 4, &size, 4);
  out.resize(8 + size);
  return out;
}

Bytes PackXz(Bytes plain) {
  Bytes out(lzma_stream_buffer_bound(plain.size()));
  size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, nullptr, Raw(plain),
                                    plain.size(), Raw(out), &size, out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

struct Format {
  const char* name;
  Compression compression;
  Bytes (*pack)(Bytes);
};

class DecompressTest : public ::testing::TestWithParam<Format> {};

TEST_P(DecompressTest, IsDetectedByItsFirstBytes) {
  EXPECT_EQ(DetectCompression(GetParam().pack(Sample())),
            GetParam().compression);
}

TEST_P(DecompressTest, GivesBackWhatWasPacked) {
  const Bytes packed = GetParam().pack(Sample());

  const auto unpacked = Decompress(GetParam().compression, packed, kLimit);

  ASSERT_TRUE(unpacked.ok()) << unpacked.status();
  EXPECT_TRUE(std::ranges::equal(unpacked->bytes(), Sample()));
}

TEST_P(DecompressTest, FillsTheLimitExactly) {
  const Bytes packed = GetParam().pack(Sample());

  const auto unpacked =
      Decompress(GetParam().compression, packed, Sample().size());

  ASSERT_TRUE(unpacked.ok()) << unpacked.status();
  EXPECT_EQ(unpacked->bytes().size(), Sample().size());
}

TEST_P(DecompressTest, OutputBeyondTheLimitIsRefused) {
  const Bytes packed = GetParam().pack(Sample());

  const auto unpacked = Decompress(GetParam().compression, packed, 1 << 20);

  EXPECT_EQ(unpacked.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(unpacked.status().message()),
              HasSubstr("more than the 1 MiB"));
}

TEST_P(DecompressTest, TruncatedInputIsRefused) {
  Bytes packed = GetParam().pack(Sample());
  packed.resize(packed.size() / 2);

  const auto unpacked = Decompress(GetParam().compression, packed, kLimit);

  EXPECT_EQ(unpacked.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(unpacked.status().message()),
              HasSubstr("end too early"));
}

TEST_P(DecompressTest, EveryShortPrefixEndsInAnAnswer) {
  const Bytes packed = GetParam().pack(Sample());
  for (size_t size = 4; size < 64; ++size) {
    const std::span<const std::byte> prefix(packed.data(), size);
    const auto unpacked = Decompress(GetParam().compression, prefix, kLimit);
    // An lz4 legacy file has no end mark: four bytes of magic are a whole one.
    if (unpacked.ok()) {
      EXPECT_EQ(unpacked->bytes().size(), 0u);
    }
  }
}

TEST_P(DecompressTest, DamagedInputNeverGivesMoreThanTheLimit) {
  const Bytes packed = GetParam().pack(Sample());
  for (size_t i = 4; i < packed.size(); i += 1 + packed.size() / 50) {
    Bytes damaged = packed;
    damaged[i] ^= std::byte{0x55};
    const auto unpacked = Decompress(GetParam().compression, damaged, kLimit);
    if (unpacked.ok()) {
      EXPECT_LE(unpacked->bytes().size(), kLimit);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, DecompressTest,
    ::testing::Values(Format{"gzip", Compression::kGzip, PackGzip},
                      Format{"zstd", Compression::kZstd, PackZstd},
                      Format{"lz4_frame", Compression::kLz4Frame, PackLz4Frame},
                      Format{"lz4_legacy", Compression::kLz4Legacy,
                             PackLz4Legacy},
                      Format{"xz", Compression::kXz, PackXz}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(DetectCompressionTest, NothingAndOtherThingsAreNone) {
  EXPECT_EQ(DetectCompression({}), Compression::kNone);
  const std::string text = "MZ";
  EXPECT_EQ(DetectCompression(std::as_bytes(std::span(text))),
            Compression::kNone);
}

TEST(DetectCompressionTest, FormatsItDoesNotUnpackAreNamed) {
  const std::string bzip2 = "BZh91AY";
  const Compression found = DetectCompression(std::as_bytes(std::span(bzip2)));

  EXPECT_EQ(CompressionName(found), "bzip2");
  EXPECT_EQ(Decompress(found, {}, kLimit).status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST(DecompressLz4LegacyTest, BlockLengthBeyondTheFormatIsRefused) {
  const std::string packed("\x02\x21\x4c\x18\xff\xff\xff\xff data", 13);

  const auto unpacked = Decompress(Compression::kLz4Legacy,
                                   std::as_bytes(std::span(packed)), kLimit);

  EXPECT_THAT(std::string(unpacked.status().message()),
              HasSubstr("block length"));
}

}  // namespace
}  // namespace kvmlet::arch
