# SPDX-License-Identifier: Apache-2.0
target_sources(kvmlet_backend PRIVATE
  ${CMAKE_CURRENT_SOURCE_DIR}/char_stream.cc
  ${CMAKE_CURRENT_SOURCE_DIR}/char_open.cc
  ${CMAKE_CURRENT_SOURCE_DIR}/terminal.cc)
target_link_libraries(kvmlet_backend PUBLIC kvmlet_event)
