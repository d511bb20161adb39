// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/posix_error.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

TEST(PosixErrorTest, SaysWhatWasTriedAndWhyItFailed) {
  const absl::Status status = PosixError(EACCES, "open /dev/kvm");
  EXPECT_EQ(status.message(), "open /dev/kvm: Permission denied (EACCES)");
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
}

TEST(PosixErrorTest, AnUnknownNumberIsStillAnError) {
  const absl::Status status = PosixError(100'000, "ioctl");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.message(), "ioctl: unknown error (?)");
}

TEST(PosixErrorTest, LackOfMemoryIsTheHostRefusing) {
  EXPECT_EQ(ExitStatusFor(PosixError(ENOMEM, "mmap")), 71);
  EXPECT_EQ(ExitStatusFor(PosixError(EMFILE, "eventfd")), 71);
}

}  // namespace
}  // namespace kvmlet
