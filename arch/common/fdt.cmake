# SPDX-License-Identifier: Apache-2.0
# Device trees, for the ISAs that boot with one and for the tests of all.
include_guard(GLOBAL)
kvmlet_library(fdt_writer
  SRCS ${CMAKE_CURRENT_LIST_DIR}/fdt_writer.cc
  DEPS kvmlet_base kvmlet_bus fdt)
