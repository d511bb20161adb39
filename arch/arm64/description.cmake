# SPDX-License-Identifier: Apache-2.0
# What needs neither KVM nor an arm64 host: kernel image, placement, device
# tree, ACPI tables, the debugger's rules. Its tests run on every host.
include_guard(GLOBAL)
include(${CMAKE_SOURCE_DIR}/arch/common/decompress.cmake)
include(${CMAKE_SOURCE_DIR}/arch/common/fdt.cmake)
include(${CMAKE_SOURCE_DIR}/arch/common/guest_view.cmake)
include(${CMAKE_SOURCE_DIR}/arch/common/mapping_walk.cmake)
kvmlet_library(arm64_description
  SRCS ${CMAKE_CURRENT_LIST_DIR}/acpi.cc
       ${CMAKE_CURRENT_LIST_DIR}/acpi_tables.cc
       ${CMAKE_CURRENT_LIST_DIR}/boot.cc
       ${CMAKE_CURRENT_LIST_DIR}/debug_registers.cc
       ${CMAKE_CURRENT_LIST_DIR}/debug_slots.cc
       ${CMAKE_CURRENT_LIST_DIR}/debug_step_rules.cc
       ${CMAKE_CURRENT_LIST_DIR}/efi.cc
       ${CMAKE_CURRENT_LIST_DIR}/error_source.cc
       ${CMAKE_CURRENT_LIST_DIR}/fdt.cc
       ${CMAKE_CURRENT_LIST_DIR}/kernel_image.cc
       ${CMAKE_CURRENT_LIST_DIR}/paging.cc
       ${CMAKE_CURRENT_LIST_DIR}/unwind.cc
  DEPS kvmlet_base kvmlet_memory kvmlet_bus kvmlet_serial kvmlet_platform
       kvmlet_arch_common kvmlet_boot_file kvmlet_fdt_writer kvmlet_guest_view
       kvmlet_mapping_walk)
