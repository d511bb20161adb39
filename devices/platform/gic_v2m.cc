// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/gic_v2m.h"

namespace kvmlet {

void GicV2m::Read(uint64_t offset, std::span<std::byte> data) {
  // No implementer's errata: the identification reads as zero.
  const uint32_t typer = options_.first << 16 | options_.count;
  StoreLe(offset == kTyper ? typer : 0, data);
}

void GicV2m::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset != kSetSpi) return;
  const auto interrupt = static_cast<uint32_t>(LoadLe(data));
  if (Owns(interrupt)) options_.pulse(interrupt);
}

}  // namespace kvmlet
