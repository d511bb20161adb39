# SPDX-License-Identifier: Apache-2.0
include(${CMAKE_SOURCE_DIR}/arch/common/decompress.cmake)
target_sources(kvmlet_arch PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/boot.cc
  ${CMAKE_CURRENT_LIST_DIR}/boot_pvh.cc
  ${CMAKE_CURRENT_LIST_DIR}/boot_writer.cc
  ${CMAKE_CURRENT_LIST_DIR}/bzimage.cc
  ${CMAKE_CURRENT_LIST_DIR}/elf_image.cc
  ${CMAKE_CURRENT_LIST_DIR}/kernel_image.cc
  ${CMAKE_CURRENT_LIST_DIR}/multiboot.cc
  ${CMAKE_CURRENT_LIST_DIR}/regs.cc
  ${CMAKE_CURRENT_LIST_DIR}/zero_page.cc)
target_link_libraries(kvmlet_arch PUBLIC kvmlet_boot_file kvmlet_memory)
