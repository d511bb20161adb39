# SPDX-License-Identifier: Apache-2.0
target_sources(kvmlet_arch PRIVATE ${CMAKE_CURRENT_LIST_DIR}/acpi.cc)
target_link_libraries(kvmlet_arch PUBLIC kvmlet_arch_common kvmlet_platform)
