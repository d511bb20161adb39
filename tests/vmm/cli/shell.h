// SPDX-License-Identifier: Apache-2.0
// Runs a shell command in a test and returns what it wrote.
#ifndef KVMLET_TESTS_VMM_CLI_SHELL_H_
#define KVMLET_TESTS_VMM_CLI_SHELL_H_

#include <cstdio>
#include <string>

namespace kvmlet::cli {

inline std::string Shell(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return "popen failed";
  std::string text;
  char block[4096];
  while (const size_t got = std::fread(block, 1, sizeof(block), pipe)) {
    text.append(block, got);
  }
  ::pclose(pipe);
  return text;
}

}  // namespace kvmlet::cli

#endif  // KVMLET_TESTS_VMM_CLI_SHELL_H_
