// SPDX-License-Identifier: Apache-2.0
#include "arch/common/guest_view.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace kvmlet::arch {

bool GuestView::Read(uint64_t address, std::span<std::byte> out) const {
  while (!out.empty()) {
    const auto page = space_.Translate(memory_, address);
    if (!page || page->left == 0) return false;
    const size_t now = std::min<uint64_t>(out.size(), page->left);
    if (!memory_.Read(page->at, out.first(now))) return false;
    out = out.subspan(now);
    address += now;
  }
  return true;
}

bool HasBanner(const GuestView& view, const KernelFile& file, uint64_t offset) {
  constexpr std::string_view kStart = "Linux version ";
  const std::optional<uint64_t> banner = file.AddressOf("linux_banner");
  if (!banner) return true;
  std::array<std::byte, kStart.size()> bytes{};
  return view.Read(*banner + offset, bytes) &&
         std::memcmp(bytes.data(), kStart.data(), kStart.size()) == 0;
}

}  // namespace kvmlet::arch
