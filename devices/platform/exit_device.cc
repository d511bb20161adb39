// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/exit_device.h"

namespace kvmlet {

void ExitDevice::Read(uint64_t, std::span<std::byte> data) { StoreLe(0, data); }

void ExitDevice::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset != 0 || data.size() > kSize) return;
  requests_.Exit(Door::kExitDevice, LoadLe(data), "");
}

}  // namespace kvmlet
