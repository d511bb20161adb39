// SPDX-License-Identifier: Apache-2.0
// The manual page kvmlet(1) in troff's man macros, made from the tables of
// commands and flags. Thread-safe; no state.
#ifndef KVMLET_VMM_CLI_MAN_PAGE_H_
#define KVMLET_VMM_CLI_MAN_PAGE_H_

#include <string>

namespace kvmlet::cli {

std::string ManPage();

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_MAN_PAGE_H_
