// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk_request.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

namespace kvmlet::virtio {
namespace {

constexpr BlkParsed kStart{BlkVerdict::kStart};
constexpr BlkParsed kOk{BlkVerdict::kDone, kBlkOk};
constexpr BlkParsed kRefused{BlkVerdict::kDone, kBlkIoError};
constexpr BlkParsed kUnsupported{BlkVerdict::kDone, kBlkUnsupported};

bool InsideDisk(const BlkRules& rules, uint64_t sector, uint64_t count) {
  return count <= rules.capacity && sector <= rules.capacity - count &&
         sector % rules.alignment == 0 && count % rules.alignment == 0;
}

BlkParsed ParseTransfer(BufferCursor& data, uint64_t sector, BlockOp op,
                        const BlkRules& rules, BlkRequest& request) {
  const uint32_t length = data.remaining();
  if (length % kBlkSectorBytes != 0 ||
      !InsideDisk(rules, sector, length / kBlkSectorBytes)) {
    return kRefused;
  }
  request.io.op = op;
  request.io.offset = sector * kBlkSectorBytes;
  request.io.length = length;
  data.TakeIovecs(length, request.io.iovecs);
  return kStart;
}

BlkParsed ParseGetId(Writer& data, const BlkRules& rules, BlkRequest& request) {
  std::array<char, kBlkIdBytes> id{};
  std::copy_n(rules.serial.begin(),
              std::min<size_t>(rules.serial.size(), id.size()), id.begin());
  if (!data.Write(std::as_bytes(std::span(id)))) return kRefused;
  request.written = data.written();
  return kOk;
}

// Section 5.2.6.2: flags the device does not know, and "unmap" in a discard,
// are unsupported; everything else that is wrong is an I/O error.
BlkParsed CheckRange(const BlkRange& range, BlockOp op, const BlkRules& rules) {
  const uint32_t known = op == BlockOp::kWriteZeroes ? kBlkRangeUnmap : 0;
  if ((range.flags & ~known) != 0) return kUnsupported;
  if (range.count > kBlkMaxRangeSectors ||
      !InsideDisk(rules, range.sector, range.count)) {
    return kRefused;
  }
  return kStart;
}

// All ranges are judged before the first one is carried out.
BlkParsed ParseRanges(Reader& data, BlockOp op, const BlkRules& rules,
                      BlkRequest& request) {
  const uint32_t length = data.remaining();
  if (length == 0 || length % sizeof(BlkRange) != 0 ||
      length / sizeof(BlkRange) > kBlkMaxRanges) {
    return kRefused;
  }
  request.ranges.resize(length / sizeof(BlkRange));
  if (!data.Read(std::as_writable_bytes(std::span(request.ranges)))) {
    return kRefused;
  }
  for (const BlkRange& range : request.ranges) {
    const BlkParsed parsed = CheckRange(range, op, rules);
    if (parsed.verdict != BlkVerdict::kStart) return parsed;
  }
  request.io.op = op;
  NextBlkRange(request);
  return kStart;
}

BlkParsed ParseBody(const BlkHeader& header, Reader& reader, Writer& writer,
                    const BlkRules& rules, BlkRequest& request) {
  const bool changes = header.type == kBlkOut || header.type == kBlkDiscard ||
                       header.type == kBlkWriteZeroes;
  if (changes && rules.read_only) return kRefused;
  request.io.durable = changes && rules.durable;
  switch (header.type) {
    case kBlkIn: {
      const uint32_t length = writer.remaining();
      const BlkParsed parsed =
          ParseTransfer(writer, header.sector, BlockOp::kRead, rules, request);
      if (parsed.verdict == BlkVerdict::kStart) request.written = length;
      return parsed;
    }
    case kBlkOut:
      return ParseTransfer(reader, header.sector, BlockOp::kWrite, rules,
                           request);
    case kBlkFlush:
      request.io.op = BlockOp::kFlush;
      return kStart;
    case kBlkGetId:
      return ParseGetId(writer, rules, request);
    case kBlkDiscard:
      if ((rules.features & kBlkFeatureDiscard) == 0) break;
      return ParseRanges(reader, BlockOp::kDiscard, rules, request);
    case kBlkWriteZeroes:
      if ((rules.features & kBlkFeatureWriteZeroes) == 0) break;
      return ParseRanges(reader, BlockOp::kWriteZeroes, rules, request);
    default:
      break;
  }
  return kUnsupported;
}

}  // namespace

BlkParsed ParseBlkRequest(DescriptorChain& chain, const BlkRules& rules,
                          BlkRequest& request) {
  request.head = chain.head();
  request.written = 0;
  request.io.iovecs.clear();
  request.io.offset = 0;
  request.io.length = 0;
  request.io.may_unmap = false;
  request.ranges.clear();
  request.next_range = 0;
  std::optional<Writer> status = chain.writer().SplitTail(1);
  if (!status) return {BlkVerdict::kBroken};
  request.status = *std::move(status);
  const auto header = chain.reader().Read<BlkHeader>();
  if (!header) return kRefused;
  return ParseBody(*header, chain.reader(), chain.writer(), rules, request);
}

bool NextBlkRange(BlkRequest& request) {
  if (request.next_range == request.ranges.size()) return false;
  const BlkRange& range = request.ranges[request.next_range++];
  request.io.offset = range.sector * kBlkSectorBytes;
  request.io.length = uint64_t{range.count} * kBlkSectorBytes;
  request.io.may_unmap = (range.flags & kBlkRangeUnmap) != 0;
  return true;
}

}  // namespace kvmlet::virtio
