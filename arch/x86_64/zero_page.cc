// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/zero_page.h"

#include <algorithm>
#include <cstddef>

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint8_t kUndefinedLoader = 0xff;
static_assert(sizeof(boot_params) == 4096);
static_assert(offsetof(boot_params, acpi_rsdp_addr) == 0x70);
static_assert(offsetof(boot_params, e820_table) == 0x2d0);

// What a vmlinux, which has no setup header, needs to find in one.
setup_header MinimalHeader() {
  setup_header header{};
  header.boot_flag = 0xaa55;
  header.header = 0x53726448;  // "HdrS"
  header.version = 0x20c;
  header.loadflags = LOADED_HIGH;
  header.kernel_alignment = 0x1000000;
  header.cmdline_size = kLinuxCommandLineMax;
  return header;
}

uint32_t Low(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t High(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

}  // namespace

boot_params BuildZeroPage(const ZeroPageInput& input) {
  boot_params page{};
  page.hdr = input.header.value_or(MinimalHeader());
  page.hdr.type_of_loader = kUndefinedLoader;
  // Nothing of the loader's is passed on, whatever the file says.
  page.hdr.setup_data = 0;
  page.hdr.cmd_line_ptr = Low(input.command_line.value);
  page.ext_cmd_line_ptr = High(input.command_line.value);
  if (input.initrd_size != 0) {
    page.hdr.ramdisk_image = Low(input.initrd.value);
    page.ext_ramdisk_image = High(input.initrd.value);
    page.hdr.ramdisk_size = Low(input.initrd_size);
    page.ext_ramdisk_size = High(input.initrd_size);
  } else {
    page.hdr.ramdisk_image = 0;
    page.hdr.ramdisk_size = 0;
  }
  page.acpi_rsdp_addr = input.rsdp.value;
  const size_t entries =
      std::min<size_t>(input.map.size(), E820_MAX_ENTRIES_ZEROPAGE);
  page.e820_entries = static_cast<uint8_t>(entries);
  for (size_t i = 0; i < entries; ++i) {
    page.e820_table[i] = {input.map[i].base.value, input.map[i].size,
                          static_cast<uint32_t>(input.map[i].type)};
  }
  return page;
}

}  // namespace kvmlet::arch::x86_64
