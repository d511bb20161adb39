// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/pvpanic.h"

#include "absl/strings/str_format.h"

namespace kvmlet {

void Pvpanic::Read(uint64_t offset, std::span<std::byte> data) {
  StoreLe(offset == 0 ? kPanicked | kCrashLoaded : 0, data);
}

void Pvpanic::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset != 0 || data.size() != kSize) return;
  const auto events = static_cast<uint8_t>(data[0]);
  // A panic is the stronger news when a guest reports both.
  if ((events & kPanicked) != 0) {
    requests_.Panic(Door::kPvpanic, /*crash_loaded=*/false);
  } else if ((events & kCrashLoaded) != 0) {
    requests_.Panic(Door::kPvpanic, /*crash_loaded=*/true);
  } else {
    log_.Warn(absl::StrFormat("unknown event 0x%02x", events));
  }
}

}  // namespace kvmlet
