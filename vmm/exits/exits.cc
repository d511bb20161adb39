// SPDX-License-Identifier: Apache-2.0
#include "vmm/exits/exits.h"

#include "vmm/base/exit_status.h"
#include "vmm/exits/exit_report.h"

namespace kvmlet {

int ExitsMain(const std::string& path, ExitsFormat format, std::ostream& out,
              std::ostream& err) {
  const absl::StatusOr<ExitTraceData> trace = ReadExitTrace(path);
  if (!trace.ok()) {
    err << "kvmlet exits: " << std::string(trace.status().message()) << "\n";
    return ExitStatusFor(trace.status());
  }
  switch (format) {
    case ExitsFormat::kTable:
      out << ExitTable(*trace);
      break;
    case ExitsFormat::kJson:
      out << ExitJson(*trace);
      break;
    case ExitsFormat::kList:
      ListExits(*trace, out);
      break;
  }
  out.flush();
  if (out.good()) return 0;
  err << "kvmlet exits: the output could not be written\n";
  return static_cast<int>(ExitStatus::kOsRefused);
}

}  // namespace kvmlet
