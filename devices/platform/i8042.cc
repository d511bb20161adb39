// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/i8042.h"

namespace kvmlet {
namespace {

// Commands 0xf0 to 0xff pulse the output lines whose bit is zero; line 0 is
// the CPU's reset. 0xfe is the one that everybody uses.
constexpr bool PulsesReset(uint8_t command) { return (command & 0xf1) == 0xf0; }

}  // namespace

void I8042::Read(uint64_t offset, std::span<std::byte> data) {
  if ((offset == kData || offset == kCommand) && data.size() == 1) {
    StoreLe(0, data);  // status: no output for the CPU, ready for input
  } else {
    FillOnes(data);
  }
}

void I8042::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset != kCommand || data.size() != 1) return;
  if (PulsesReset(static_cast<uint8_t>(data[0]))) {
    requests_.Reset(Door::kI8042);
  }
}

}  // namespace kvmlet
