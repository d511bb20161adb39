# SPDX-License-Identifier: Apache-2.0
# Compiler flags, and the functions every folder uses: kvmlet_library,
# kvmlet_test, kvmlet_fuzz.

find_program(KVMLET_CCACHE ccache)
if(KVMLET_CCACHE)
  # What ccache needs to be told of precompiled headers, and that the compiler's
  # own list of what a file includes will do.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_DEPEND=1
      CCACHE_SLOPPINESS=pch_defines,time_macros ${KVMLET_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
endif()

add_library(kvmlet_flags INTERFACE)
target_compile_options(kvmlet_flags INTERFACE
  -Wall -Wextra -Wconversion -Wsign-conversion -Werror
  -fno-strict-aliasing -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
target_include_directories(kvmlet_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION
                                           VERSION_LESS 13)
  # g++ 12 sees overflows in vector<byte>::insert and std::string that are not
  # there (its bug 105329 and relatives), at -O2 and above.
  target_compile_options(kvmlet_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-stringop-overflow;-Wno-restrict;-Wno-array-bounds>)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(kvmlet_flags INTERFACE -ffunction-sections
                                                -fdata-sections)
  target_link_options(kvmlet_flags INTERFACE -Wl,--gc-sections)
endif()
if(KVMLET_SANITIZE)
  target_compile_options(kvmlet_flags INTERFACE
    -fsanitize=${KVMLET_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(kvmlet_flags INTERFACE -fsanitize=${KVMLET_SANITIZE})
endif()
if(KVMLET_FUZZ)
  # Abseil's headers draw warnings from clang that gcc does not have.
  target_compile_options(kvmlet_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# kvmlet_release(TARGET KIND HEADER [OPTION ...]): in the release build TARGET
# has the OPTIONs and uses the compiled HEADER, as all targets of that KIND do;
# the other builds see that each file includes what it uses.
function(kvmlet_release target kind header)
  if(NOT CMAKE_BUILD_TYPE STREQUAL "Release")
    return()
  endif()
  target_compile_options(${target} PRIVATE ${ARGN})
  set(precompiled kvmlet_precompiled_${kind})
  if(NOT TARGET ${precompiled})
    file(CONFIGURE OUTPUT precompiled.cc CONTENT "")
    add_library(${precompiled} OBJECT ${CMAKE_CURRENT_BINARY_DIR}/precompiled.cc)
    target_link_libraries(${precompiled} PRIVATE
      kvmlet_flags kvmlet_glog absl::statusor absl::str_format)
    if(TARGET GTest::gmock)
      target_link_libraries(${precompiled} PRIVATE GTest::gmock)
    endif()
    target_compile_options(${precompiled} PRIVATE ${ARGN})
    target_precompile_headers(${precompiled} PRIVATE
                              ${CMAKE_SOURCE_DIR}/${header})
  endif()
  target_precompile_headers(${target} REUSE_FROM ${precompiled})
endfunction()

# kvmlet_library(NAME [SMALL] SRCS ... DEPS ...): one library a folder. SMALL:
# nothing in it runs often, and the release build makes it small.
function(kvmlet_library name)
  cmake_parse_arguments(L "SMALL" "" "SRCS;DEPS" ${ARGN})
  add_library(kvmlet_${name} STATIC ${L_SRCS})
  target_link_libraries(kvmlet_${name} PUBLIC kvmlet_flags ${L_DEPS})
  if(L_SMALL)
    kvmlet_release(kvmlet_${name} small vmm/base/precompiled.h -Os)
  else()
    kvmlet_release(kvmlet_${name} fast vmm/base/precompiled.h)
  endif()
endfunction()

# kvmlet_test(NAME SRCS ... DEPS ... [LABEL unit|kvm]): one test program, each
# of its gtest cases a ctest test. Of a cross build every unit program is one
# test, as it takes longer to start in an emulator than its cases to run, and
# what needs KVM runs in the lab (tests/boot/kvm).
function(kvmlet_test name)
  cmake_parse_arguments(T "" "LABEL" "SRCS;DEPS" ${ARGN})
  if(NOT T_LABEL)
    set(T_LABEL unit)
  endif()
  add_executable(${name} ${T_SRCS})
  target_link_libraries(${name} PRIVATE kvmlet_flags ${T_DEPS}
                                        GTest::gmock GTest::gtest_main)
  # What is tested is optimised, the test is not, and most of what it includes
  # is compiled once: that halves its compilation.
  kvmlet_release(${name} tests tests/precompiled.h -O0)
  if(CMAKE_CROSSCOMPILING)
    if(T_LABEL STREQUAL "unit")
      add_test(NAME unit.${KVMLET_ARCH}.${name} COMMAND ${name})
      set_tests_properties(unit.${KVMLET_ARCH}.${name} PROPERTIES
                           LABELS unit TIMEOUT 600)
    endif()
    return()
  endif()
  gtest_discover_tests(${name} TEST_PREFIX "${T_LABEL}." DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS ${T_LABEL} TIMEOUT 120)
endfunction()

# kvmlet_fuzz(NAME SRCS ... DEPS ...): with KVMLET_FUZZ a libFuzzer program;
# otherwise a program that replays tests/fuzz/corpus/NAME, as a unit test.
function(kvmlet_fuzz name)
  cmake_parse_arguments(F "" "" "SRCS;DEPS" ${ARGN})
  if(KVMLET_FUZZ)
    add_executable(${name} ${F_SRCS})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${F_SRCS} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.cc)
    set(test unit.corpus.${name})
    if(CMAKE_CROSSCOMPILING)
      set(test unit.${KVMLET_ARCH}.corpus.${name})
    endif()
    add_test(NAME ${test}
             COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(${test} PROPERTIES LABELS unit TIMEOUT 60)
  endif()
  target_link_libraries(${name} PRIVATE kvmlet_flags ${F_DEPS})
endfunction()
