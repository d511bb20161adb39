# SPDX-License-Identifier: Apache-2.0
target_sources(kvmlet_arch PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/debug.cc
  ${CMAKE_CURRENT_LIST_DIR}/debug_description.cc
  ${CMAKE_CURRENT_LIST_DIR}/debug_probe.cc
  ${CMAKE_CURRENT_LIST_DIR}/debug_registers.cc
  ${CMAKE_CURRENT_LIST_DIR}/debug_state.cc
  ${CMAKE_CURRENT_LIST_DIR}/debug_step.cc
  ${CMAKE_CURRENT_LIST_DIR}/paging.cc)
