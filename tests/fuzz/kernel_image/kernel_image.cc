// SPDX-License-Identifier: Apache-2.0
// Any bytes as --kernel: they are examined and, where they pass, loaded into a
// guest of 64 MiB. The memory is kept from one input to the next; nothing in
// it decides what happens.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "arch/x86_64/boot.h"

namespace {

using kvmlet::Gpa;
using kvmlet::GuestMemory;
using kvmlet::RamRange;
using namespace kvmlet::arch::x86_64;

constexpr uint64_t kRam = 64ull << 20;
constexpr size_t kUnpackedLimit = 8 << 20;

GuestMemory MakeMemory() {
  // Two regions, so that copies get split.
  const RamRange ranges[] = {{Gpa{0}, 0x1001000},
                             {Gpa{0x1001000}, kRam - 0x1001000}};
  auto memory = GuestMemory::Create(ranges, {});
  if (!memory.ok()) std::abort();
  return *std::move(memory);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const GuestMemory memory = MakeMemory();
  const E820Entry map[] = {
      {Gpa{0}, 0x9fc00, E820Type::kRam},
      {Gpa{0x9fc00}, 0x60400, E820Type::kReserved},
      {Gpa{0x100000}, kRam - 0x100000, E820Type::kRam},
  };
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto image = KernelImage::FromBytes("k", bytes, kUnpackedLimit);
  if (!image.ok()) return 0;
  const std::vector<std::byte> content(4096);
  const auto initrd =
      kvmlet::arch::BootFile::FromBytes("--initrd", "i", content);
  const auto entry =
      LoadGuest(memory, *image, &initrd, {"console=ttyS0", map, Gpa{0xe0000}});
  if (!entry.ok()) return 0;
  // What passes is entered inside of RAM and knows its structures.
  kvm_regs regs{};
  kvm_sregs sregs{};
  BootRegisters(*entry, regs, sregs);
  if (!memory.Contains(Gpa{regs.rip}, 1)) std::abort();
  if (!memory.Contains(entry->info, 1)) std::abort();
  return 0;
}
