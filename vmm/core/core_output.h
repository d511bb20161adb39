// SPDX-License-Identifier: Apache-2.0
// The file that a core is written into: whole or not at all. It has another
// name until it is finished, and goes when it never is.
//
// Not thread-safe. Units: bytes. Errors name the file, "dump PATH: ...".
#ifndef KVMLET_VMM_CORE_CORE_OUTPUT_H_
#define KVMLET_VMM_CORE_CORE_OUTPUT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

class CoreOutput {
 public:
  // Beside `path`, which is missing or a regular file.
  static absl::StatusOr<CoreOutput> Create(const std::string& path);
  ~CoreOutput();
  CoreOutput(CoreOutput&& other) noexcept;
  CoreOutput& operator=(CoreOutput&&) = delete;

  absl::Status WriteAt(uint64_t offset, std::span<const std::byte> data) const;
  // Sets its size and gives it its name.
  absl::Status Finish(uint64_t size);

 private:
  CoreOutput(std::string path, std::string target, std::string temporary,
             UniqueFd fd)
      : path_(std::move(path)),
        target_(std::move(target)),
        temporary_(std::move(temporary)),
        fd_(std::move(fd)) {}
  absl::Status Error(int error_number) const;

  std::string path_;       // as it was asked for
  std::string target_;     // behind a symbolic link
  std::string temporary_;  // empty when there is none to remove
  UniqueFd fd_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CORE_CORE_OUTPUT_H_
