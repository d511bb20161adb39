# SPDX-License-Identifier: Apache-2.0
# Builds for arm64 Linux with Debian's cross compiler; KVMLET_SYSROOT, or
# build/sysroot/arm64 (scripts/build makes it), has the libraries. The tests run
# under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
if(NOT KVMLET_SYSROOT)
  get_filename_component(KVMLET_SYSROOT
    ${CMAKE_CURRENT_LIST_DIR}/../build/sysroot/arm64 ABSOLUTE)
endif()
set(CMAKE_SYSROOT ${KVMLET_SYSROOT})
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES KVMLET_SYSROOT)

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

find_program(KVMLET_QEMU_USER NAMES qemu-aarch64-static qemu-aarch64)
if(KVMLET_QEMU_USER)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${KVMLET_QEMU_USER} -L ${CMAKE_SYSROOT})
endif()
