// SPDX-License-Identifier: Apache-2.0
// Any bytes as --symbols: read as an ELF file and as a list, and looked up.
#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "vmm/symbols/kernel_symbols.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const kvmlet::SymbolBytes bytes{
      .size = size, .read = [&](uint64_t offset, std::span<std::byte> out) {
        // Nothing outside the file is asked for.
        if (out.size() > size || offset > size - out.size()) std::abort();
        if (!out.empty()) std::memcpy(out.data(), data + offset, out.size());
        return true;
      }};
  const auto symbols = kvmlet::KernelSymbols::Parse(bytes, EM_X86_64);
  if (!symbols.ok()) return 0;
  for (const char* name : {"_text", "_stext", "linux_banner", "a", ""}) {
    const auto address = (*symbols)->AddressOf(name);
    if (!address) continue;
    const auto place = (*symbols)->Find(*address);
    if (place && place->offset >= place->size) std::abort();
  }
  (*symbols)->Find(0);
  (*symbols)->Find(~uint64_t{0});
  (*symbols)->FindSection(".orc_unwind");
  return 0;
}
