// SPDX-License-Identifier: Apache-2.0
// Where glog's lines go: standard error, one write() a line, as
// "kvmlet: warning: text"; never into files. One object a process, alive for
// as long as anything logs; LOG() may then be called from any thread.
#ifndef KVMLET_VMM_CLI_STDERR_LOG_H_
#define KVMLET_VMM_CLI_STDERR_LOG_H_

#include <glog/logging.h>

#include "vmm/config.h"

namespace kvmlet::cli {

class StderrLog : private google::LogSink {
 public:
  explicit StderrLog(LogLevel level);
  StderrLog(const StderrLog&) = delete;
  StderrLog& operator=(const StderrLog&) = delete;
  ~StderrLog() override;

 private:
  void send(google::LogSeverity severity, const char* full_filename,
            const char* base_filename, int line,
            const google::LogMessageTime& time, const char* message,
            size_t message_size) override;

  bool with_place_;  // the source line, for debugging
};

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_STDERR_LOG_H_
