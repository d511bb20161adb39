# SPDX-License-Identifier: Apache-2.0
# What page tables map, for whoever knows their format.
include_guard(GLOBAL)
kvmlet_library(mapping_walk SRCS ${CMAKE_CURRENT_LIST_DIR}/mapping_walk.cc
               DEPS kvmlet_memory)
