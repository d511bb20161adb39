// SPDX-License-Identifier: Apache-2.0
// `kvmlet doctor`: looks at the host through the Host interface and says what
// it can do, and what to do about what it cannot. It changes nothing. Single
// thread.
#ifndef KVMLET_VMM_CLI_DOCTOR_H_
#define KVMLET_VMM_CLI_DOCTOR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/cli/arg_walk.h"

namespace kvmlet::cli {

struct CapabilityFact {
  std::string name;
  std::string meaning;
  bool required = false;
  bool present = false;
  std::string remedy = "use a newer kernel";
};

struct KvmFacts {
  std::vector<CapabilityFact> capabilities;
  uint32_t max_vcpus = 0;
};

// Everything the doctor asks; a test answers for a host of its own.
class Host {
 public:
  virtual ~Host() = default;

  // 0, or the errno of opening the node for reading and writing.
  virtual int TryOpen(const std::string& path) const = 0;
  virtual std::optional<std::string> Read(const std::string& path) const = 0;
  // The names in a folder; none when there is no such folder.
  virtual std::vector<std::string> List(const std::string& path) const = 0;
  virtual bool HasProgram(const std::string& name) const = 0;
  // 0, or the errno of creating a ring.
  virtual int TryIoUring() const = 0;
  // Bytes a process may lock; UINT64_MAX for no limit.
  virtual uint64_t LockLimit() const = 0;
  virtual absl::StatusOr<KvmFacts> AskKvm() const = 0;
  virtual absl::StatusOr<double> GuestInstructionsPerSecond() const = 0;
};

std::unique_ptr<Host> ThisHost();

enum class Level { kOk, kWarn, kMissing };

struct Finding {
  Level level = Level::kOk;
  std::string what;
  std::string detail;
  std::string remedy;     // empty when there is nothing to do
  bool required = false;  // no guest can run without it
};

std::vector<Finding> Examine(const Host& host);

struct DoctorReport {
  std::string text;
  int exit_status = 0;
};
DoctorReport RunDoctor(const Host& host, const ArgWalk& walk);

}  // namespace kvmlet::cli

#endif  // KVMLET_VMM_CLI_DOCTOR_H_
