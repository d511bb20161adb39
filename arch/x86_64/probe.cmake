# SPDX-License-Identifier: Apache-2.0
target_sources(kvmlet_arch PRIVATE ${CMAKE_CURRENT_LIST_DIR}/probe.cc)
