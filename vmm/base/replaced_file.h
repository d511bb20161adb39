// SPDX-License-Identifier: Apache-2.0
// A file that takes another's place when it is complete: whoever opens the
// path finds the old content or the new, never a part. It has a name of its
// own beside the other until Finish, and goes when there is none; a symbolic
// link stays, and what it points to is replaced.
//
// Not thread-safe. Units: bytes. Errors begin with `what`, by the rules of
// PosixError; a path that is there and no regular file is an InvalidArgument.
#ifndef KVMLET_VMM_BASE_REPLACED_FILE_H_
#define KVMLET_VMM_BASE_REPLACED_FILE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

class ReplacedFile {
 public:
  static absl::StatusOr<ReplacedFile> Create(const std::string& path,
                                             mode_t mode,
                                             const std::string& what);
  ~ReplacedFile();
  ReplacedFile(ReplacedFile&& other) noexcept;
  ReplacedFile& operator=(ReplacedFile&&) = delete;

  absl::Status WriteAt(uint64_t offset, std::span<const std::byte> data) const;
  // Beyond what was written there is a hole, up to the size.
  absl::Status SetSize(uint64_t size) const;
  // On the disk, for what must outlive the machine or a full one: some file
  // systems tell of their errors only then.
  absl::Status Sync() const;
  // Gives it its name.
  absl::Status Finish();

 private:
  ReplacedFile(std::string what, std::string target, std::string temporary,
               UniqueFd fd)
      : what_(std::move(what)),
        target_(std::move(target)),
        temporary_(std::move(temporary)),
        fd_(std::move(fd)) {}
  absl::Status Check(int result) const;

  std::string what_;
  std::string target_;     // behind a symbolic link
  std::string temporary_;  // empty when there is none to remove
  UniqueFd fd_;
};

// All of it at once, not synchronised.
absl::Status ReplaceFile(const std::string& path, mode_t mode,
                         std::string_view text, const std::string& what);

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_REPLACED_FILE_H_
