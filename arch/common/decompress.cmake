# SPDX-License-Identifier: Apache-2.0
# What every ISA boots from: files, and the compressions they come in.
include_guard(GLOBAL)
kvmlet_library(decompress
  SRCS ${CMAKE_CURRENT_LIST_DIR}/decompress.cc
  DEPS kvmlet_base z zstd lz4 lzma)
kvmlet_library(boot_file
  SRCS ${CMAKE_CURRENT_LIST_DIR}/boot_file.cc
  DEPS kvmlet_base kvmlet_memory kvmlet_decompress)
