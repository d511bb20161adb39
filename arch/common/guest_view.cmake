# SPDX-License-Identifier: Apache-2.0
# Guest memory by virtual address, for backtraces.
include_guard(GLOBAL)
kvmlet_library(guest_view SRCS ${CMAKE_CURRENT_LIST_DIR}/guest_view.cc
               DEPS kvmlet_memory kvmlet_kvm)
