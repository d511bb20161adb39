// SPDX-License-Identifier: Apache-2.0
// `kvmlet exits FILE`: prints what --trace-exits recorded. Results go to `out`,
// one-line errors to `err`.
//
// Thread-safe; no state. The status is 0, 65 (not a whole trace), 66 (cannot
// be opened).
#ifndef KVMLET_VMM_EXITS_EXITS_H_
#define KVMLET_VMM_EXITS_EXITS_H_

#include <ostream>
#include <string>

namespace kvmlet {

enum class ExitsFormat { kTable, kJson, kList };

int ExitsMain(const std::string& path, ExitsFormat format, std::ostream& out,
              std::ostream& err);

}  // namespace kvmlet

#endif  // KVMLET_VMM_EXITS_EXITS_H_
