// SPDX-License-Identifier: Apache-2.0
#include "arch/common/decompress.h"

#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {
namespace {

using Input = std::span<const std::byte>;
using Output = std::span<std::byte>;

struct Signature {
  Compression compression;
  std::string_view magic;
};
constexpr std::array kSignatures = {
    Signature{Compression::kGzip, "\x1f\x8b\x08"},
    Signature{Compression::kZstd, "\x28\xb5\x2f\xfd"},
    Signature{Compression::kLz4Frame, "\x04\x22\x4d\x18"},
    Signature{Compression::kLz4Legacy, "\x02\x21\x4c\x18"},
    Signature{Compression::kXz, std::string_view("\xfd\x37zXZ\0", 6)},
    Signature{Compression::kBzip2, "BZh"},
    Signature{Compression::kLzma, std::string_view("\x5d\0\0", 3)},
    Signature{Compression::kLzop, std::string_view("\x89LZO\0", 5)},
};

absl::Status Truncated() {
  return absl::InvalidArgumentError("the compressed data end too early");
}

absl::Status Corrupt(const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("the compressed data are damaged (", why, ")"));
}

absl::Status TooLarge(size_t limit) {
  return absl::InvalidArgumentError(
      absl::StrCat("it unpacks to more than the ", limit >> 20,
                   " MiB that a kernel may have"));
}

const uint8_t* Bytes(Input input) {
  return static_cast<const uint8_t*>(static_cast<const void*>(input.data()));
}
uint8_t* Bytes(Output output) {
  return static_cast<uint8_t*>(static_cast<void*>(output.data()));
}

// zlib, liblzma and lz4 count some lengths in 32 bits.
bool FitsInInt(Input input, Output output) {
  return input.size() <= INT_MAX && output.size() <= INT_MAX;
}

absl::StatusOr<size_t> Gunzip(Input input, Output output) {
  if (!FitsInInt(input, output)) return TooLarge(output.size());
  z_stream stream{};
  constexpr int kGzipOnly = 16 + MAX_WBITS;
  if (inflateInit2(&stream, kGzipOnly) != Z_OK) {
    return absl::ResourceExhaustedError("zlib: out of memory");
  }
  // zlib does not write to its input, whatever its type says.
  stream.next_in = const_cast<uint8_t*>(Bytes(input));
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = Bytes(output);
  stream.avail_out = static_cast<uInt>(output.size());
  const int result = inflate(&stream, Z_FINISH);
  const absl::Status damage =
      Corrupt(stream.msg != nullptr ? stream.msg : "zlib");
  inflateEnd(&stream);
  if (result == Z_STREAM_END) return output.size() - stream.avail_out;
  if (result != Z_BUF_ERROR && result != Z_OK) return damage;
  if (stream.avail_out == 0) return TooLarge(output.size());
  return Truncated();
}

absl::StatusOr<size_t> Unzstd(Input input, Output output) {
  const size_t size =
      ZSTD_decompress(output.data(), output.size(), input.data(), input.size());
  if (!ZSTD_isError(size)) return size;
  switch (ZSTD_getErrorCode(size)) {
    case ZSTD_error_dstSize_tooSmall:
      return TooLarge(output.size());
    case ZSTD_error_srcSize_wrong:
      return Truncated();
    default:
      return Corrupt(ZSTD_getErrorName(size));
  }
}

absl::StatusOr<size_t> Unlz4Frame(Input input, Output output) {
  LZ4F_dctx* context = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) {
    return absl::ResourceExhaustedError("lz4: out of memory");
  }
  LZ4F_decompressOptions_t options{};
  options.stableDst = 1;
  size_t produced = 0;
  size_t hint = 1;
  const char* error = nullptr;
  while (hint != 0 && !input.empty()) {
    size_t out = output.size() - produced;
    size_t in = input.size();
    hint = LZ4F_decompress(context, output.data() + produced, &out,
                           input.data(), &in, &options);
    if (LZ4F_isError(hint) != 0) {
      error = LZ4F_getErrorName(hint);
      break;
    }
    produced += out;
    input = input.subspan(in);
    if (in == 0 && out == 0) break;  // the output is full
  }
  LZ4F_freeDecompressionContext(context);
  if (error != nullptr) return Corrupt(error);
  if (hint == 0) return produced;
  if (input.empty()) return Truncated();
  return TooLarge(output.size());
}

// The container of `lz4 -l`: a magic number, then blocks of at most 8 MiB,
// each after its own packed length, to the end of the file.
absl::StatusOr<size_t> Unlz4Legacy(Input input, Output output) {
  constexpr size_t kBlock = 8u << 20;
  const size_t limit = output.size();
  if (!FitsInInt(input, output)) return TooLarge(limit);
  input = input.subspan(4);
  size_t produced = 0;
  while (!input.empty()) {
    uint32_t packed = 0;
    if (input.size() < sizeof(packed)) return Truncated();
    std::memcpy(&packed, input.data(), sizeof(packed));
    input = input.subspan(sizeof(packed));
    if (packed > LZ4_COMPRESSBOUND(kBlock)) return Corrupt("block length");
    if (packed > input.size()) return Truncated();
    const size_t room = std::min(kBlock, limit - produced);
    const int size = LZ4_decompress_safe(
        static_cast<const char*>(static_cast<const void*>(input.data())),
        static_cast<char*>(static_cast<void*>(output.data() + produced)),
        static_cast<int>(packed), static_cast<int>(room));
    // The library does not tell a full buffer from damaged data.
    if (size < 0 && room < kBlock) return TooLarge(limit);
    if (size < 0) return Corrupt("lz4 block");
    produced += static_cast<size_t>(size);
    input = input.subspan(packed);
  }
  return produced;
}

absl::StatusOr<size_t> Unxz(Input input, Output output) {
  uint64_t memory_limit = 256ull << 20;  // for the dictionary
  size_t in = 0;
  size_t out = 0;
  const lzma_ret result = lzma_stream_buffer_decode(
      &memory_limit, 0, nullptr, Bytes(input), &in, input.size(), Bytes(output),
      &out, output.size());
  switch (result) {
    case LZMA_OK:
      return out;
    // The library tells neither how far it came nor which side ran out, so
    // the index at the end of the file has to: it is there or it is not.
    case LZMA_BUF_ERROR: {
      constexpr std::string_view kFooter = "YZ";
      const bool complete = input.size() >= kFooter.size() &&
                            std::memcmp(input.last(kFooter.size()).data(),
                                        kFooter.data(), kFooter.size()) == 0;
      return complete ? TooLarge(output.size()) : Truncated();
    }
    case LZMA_MEM_ERROR:
      return absl::ResourceExhaustedError("xz: out of memory");
    case LZMA_MEMLIMIT_ERROR:
      return Corrupt("xz dictionary beyond 256 MiB");
    default:
      return Corrupt(absl::StrCat("xz error ", result));
  }
}

absl::StatusOr<size_t> DecompressInto(Compression compression, Input input,
                                      Output output) {
  switch (compression) {
    case Compression::kGzip:
      return Gunzip(input, output);
    case Compression::kZstd:
      return Unzstd(input, output);
    case Compression::kLz4Frame:
      return Unlz4Frame(input, output);
    case Compression::kLz4Legacy:
      return Unlz4Legacy(input, output);
    case Compression::kXz:
      return Unxz(input, output);
    default:
      return absl::UnimplementedError("not a compression kvmlet unpacks");
  }
}

}  // namespace

Compression DetectCompression(std::span<const std::byte> input) {
  for (const Signature& signature : kSignatures) {
    if (input.size() >= signature.magic.size() &&
        std::memcmp(input.data(), signature.magic.data(),
                    signature.magic.size()) == 0) {
      return signature.compression;
    }
  }
  return Compression::kNone;
}

std::string_view CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "uncompressed";
    case Compression::kGzip:
      return "gzip";
    case Compression::kZstd:
      return "zstd";
    case Compression::kLz4Frame:
    case Compression::kLz4Legacy:
      return "lz4";
    case Compression::kXz:
      return "xz";
    case Compression::kBzip2:
      return "bzip2";
    case Compression::kLzma:
      return "lzma";
    case Compression::kLzop:
      return "lzop";
  }
  return "unknown";
}

absl::StatusOr<Unpacked> Decompress(Compression compression,
                                    std::span<const std::byte> input,
                                    size_t limit) {
  // Address space only: the host gives pages as the output grows.
  KVMLET_ASSIGN_OR_RETURN(
      MappedRegion region,
      MappedRegion::Map(limit, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  KVMLET_ASSIGN_OR_RETURN(const size_t size,
                          DecompressInto(compression, input, region.bytes()));
  return Unpacked{std::move(region), size};
}

}  // namespace kvmlet::arch
