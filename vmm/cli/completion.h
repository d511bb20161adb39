// SPDX-License-Identifier: Apache-2.0
// The completion for bash, made from the tables of commands and flags: flags,
// values, keys after commas, file names. It needs nothing but bash 4.
// Thread-safe; no state.
#ifndef KVMLET_VMM_CLI_COMPLETION_H_
#define KVMLET_VMM_CLI_COMPLETION_H_

#include <string>

namespace kvmlet::cli {

std::string BashCompletion();

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_COMPLETION_H_
