// SPDX-License-Identifier: Apache-2.0
// The numbers and wire structures of the block device. Plain data, little
// endian as on the wire; sectors are 512 bytes whatever the block size.
// Specification: Virtio 1.2, section 5.2 "Block Device".
#ifndef KVMLET_DEVICES_VIRTIO_BLK_SPEC_H_
#define KVMLET_DEVICES_VIRTIO_BLK_SPEC_H_

#include <cstddef>
#include <cstdint>

namespace kvmlet::virtio {

inline constexpr uint32_t kBlkSectorBytes = 512;
inline constexpr uint32_t kBlkIdBytes = 20;

// Section 5.2.3 "Feature bits", as masks.
inline constexpr uint64_t kBlkFeatureSizeMax = 1ull << 1;
inline constexpr uint64_t kBlkFeatureSegMax = 1ull << 2;
inline constexpr uint64_t kBlkFeatureReadOnly = 1ull << 5;
inline constexpr uint64_t kBlkFeatureBlockSize = 1ull << 6;
inline constexpr uint64_t kBlkFeatureFlush = 1ull << 9;
inline constexpr uint64_t kBlkFeatureTopology = 1ull << 10;
inline constexpr uint64_t kBlkFeatureConfigWce = 1ull << 11;
inline constexpr uint64_t kBlkFeatureMultiQueue = 1ull << 12;
inline constexpr uint64_t kBlkFeatureDiscard = 1ull << 13;
inline constexpr uint64_t kBlkFeatureWriteZeroes = 1ull << 14;

// Section 5.2.4 "Device configuration layout".
struct BlkConfig {
  uint64_t capacity = 0;  // sectors
  uint32_t size_max = 0;
  uint32_t seg_max = 0;
  uint16_t cylinders = 0;
  uint8_t heads = 0;
  uint8_t sectors = 0;
  uint32_t block_size = 0;
  uint8_t physical_block_exponent = 0;
  uint8_t alignment_offset = 0;
  uint16_t minimum_io_blocks = 0;
  uint32_t optimal_io_blocks = 0;
  uint8_t writeback = 0;
  uint8_t unused0 = 0;
  uint16_t queue_count = 0;
  uint32_t max_discard_sectors = 0;
  uint32_t max_discard_segments = 0;
  uint32_t discard_alignment = 0;  // sectors
  uint32_t max_write_zeroes_sectors = 0;
  uint32_t max_write_zeroes_segments = 0;
  uint8_t write_zeroes_may_unmap = 0;
  uint8_t unused1[3] = {};
  uint32_t unused2 = 0;  // max_secure_erase_sectors, not offered
};
static_assert(sizeof(BlkConfig) == 64);
static_assert(offsetof(BlkConfig, writeback) == 32);

// Section 5.2.6 "Device Operation".
struct BlkHeader {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};
static_assert(sizeof(BlkHeader) == 16);

inline constexpr uint32_t kBlkIn = 0;
inline constexpr uint32_t kBlkOut = 1;
inline constexpr uint32_t kBlkFlush = 4;
inline constexpr uint32_t kBlkGetId = 8;
inline constexpr uint32_t kBlkDiscard = 11;
inline constexpr uint32_t kBlkWriteZeroes = 13;

inline constexpr uint8_t kBlkOk = 0;
inline constexpr uint8_t kBlkIoError = 1;
inline constexpr uint8_t kBlkUnsupported = 2;

// One range of a discard or write-zeroes request.
struct BlkRange {
  uint64_t sector;
  uint32_t count;
  uint32_t flags;
};
static_assert(sizeof(BlkRange) == 16);
inline constexpr uint32_t kBlkRangeUnmap = 1;

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_BLK_SPEC_H_
