// SPDX-License-Identifier: Apache-2.0
// Turns one descriptor chain into a block request, or into the status that
// refuses it: everything the guest says about a request is judged here and
// nowhere else.
//
// Threads: not thread-safe; a request lives on its queue's I/O thread.
// Specification: Virtio 1.2, section 5.2.6.
#ifndef KVMLET_DEVICES_VIRTIO_BLK_REQUEST_H_
#define KVMLET_DEVICES_VIRTIO_BLK_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "devices/backend/block_backend.h"
#include "devices/virtio/blk_spec.h"
#include "devices/virtio/chain.h"

namespace kvmlet::virtio {

// What a range request may ask for; also what the configuration space says.
inline constexpr uint32_t kBlkMaxRanges = 16;
inline constexpr uint32_t kBlkMaxRangeSectors = (1u << 30) / kBlkSectorBytes;

// What the disk allows at this moment.
struct BlkRules {
  uint64_t capacity = 0;   // sectors
  uint32_t alignment = 1;  // sectors; of every offset and length
  bool read_only = false;
  bool durable = false;  // write-through: stable before it completes
  uint64_t features = 0;
  std::string serial;
};

// One request in flight.
struct BlkRequest {
  uint16_t head = 0;
  Writer status;         // the last writable byte
  uint32_t written = 0;  // into the chain, when it succeeds
  BlockRequest io;
  std::vector<BlkRange> ranges;  // of discard and write zeroes
  size_t next_range = 0;
};

enum class BlkVerdict {
  kStart,  // io is to be carried out
  kDone,   // finished with the status given
  kBroken  // no status byte: the driver cannot be answered
};

struct BlkParsed {
  BlkVerdict verdict;
  uint8_t status = kBlkOk;
};

// Fills every member of `request` but io.tag.
BlkParsed ParseBlkRequest(DescriptorChain& chain, const BlkRules& rules,
                          BlkRequest& request);

// Moves a range request to its next range; false when that was the last.
bool NextBlkRange(BlkRequest& request);

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_BLK_REQUEST_H_
