# SPDX-License-Identifier: Apache-2.0
# Debian ships the libraries as .so and .a, but Abseil's CMake targets name
# the .so only. Points every Abseil target at its archive, and defines
# kvmlet_glog with what a static glog needs.

function(kvmlet_use_static_abseil)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target ${targets})
    if(NOT target MATCHES "^absl::")
      continue()
    endif()
    get_target_property(shared ${target} IMPORTED_LOCATION_NONE)
    string(REGEX REPLACE "\\.so[.0-9]*$" ".a" archive "${shared}")
    if(shared MATCHES "\\.so" AND EXISTS "${archive}")
      set_target_properties(${target} PROPERTIES
        IMPORTED_LOCATION_NONE "${archive}")
    endif()
  endforeach()
endfunction()

add_library(kvmlet_glog INTERFACE)
if(KVMLET_STATIC AND NOT KVMLET_SANITIZE)
  # The order matters to the linker: glog, then what it uses; the compiler's
  # own unwinder comes first, as libunwind defines some of its names too.
  target_link_libraries(kvmlet_glog INTERFACE glog gflags gcc_eh unwind lzma)
else()
  target_link_libraries(kvmlet_glog INTERFACE glog gflags)
endif()
