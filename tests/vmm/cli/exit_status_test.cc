// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/exit_status.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace kvmlet {
namespace {

TEST(ExitStatusTest, OkIsZero) {
  EXPECT_EQ(ExitStatusFor(absl::OkStatus()), 0);
}

TEST(ExitStatusTest, HelpersAttachTheirStatus) {
  EXPECT_EQ(ExitStatusFor(UsageError("x")), 64);
  EXPECT_EQ(ExitStatusFor(BadInput("x")), 65);
  EXPECT_EQ(ExitStatusFor(CannotOpen(ENOMEM, "open x")), 66);
  EXPECT_EQ(ExitStatusFor(HostLacks("x")), 69);
  EXPECT_EQ(ExitStatusFor(OsRefused(ENOENT, "mmap")), 71);
}

TEST(ExitStatusTest, OsErrorsNameTheErrno) {
  EXPECT_EQ(CannotOpen(ENOENT, "--kernel: open x").message(),
            "--kernel: open x: No such file or directory (ENOENT)");
}

TEST(ExitStatusTest, WithoutAPayloadTheCodeDecides) {
  EXPECT_EQ(ExitStatusFor(absl::InvalidArgumentError("x")), 65);
  EXPECT_EQ(ExitStatusFor(absl::DataLossError("x")), 65);
  EXPECT_EQ(ExitStatusFor(absl::NotFoundError("x")), 66);
  EXPECT_EQ(ExitStatusFor(absl::PermissionDeniedError("x")), 66);
  EXPECT_EQ(ExitStatusFor(absl::UnimplementedError("x")), 69);
  EXPECT_EQ(ExitStatusFor(absl::UnavailableError("x")), 69);
  EXPECT_EQ(ExitStatusFor(absl::InternalError("x")), 70);
  EXPECT_EQ(ExitStatusFor(absl::ResourceExhaustedError("x")), 71);
  EXPECT_EQ(ExitStatusFor(absl::AbortedError("x")), 71);
}

TEST(ExitStatusTest, TheInnermostStatusStays) {
  const absl::Status inner = HostLacks("x");
  EXPECT_EQ(ExitStatusFor(WithExitStatus(inner, ExitStatus::kUsage)), 69);
}

TEST(ExitStatusTest, OkStaysOk) {
  EXPECT_TRUE(WithExitStatus(absl::OkStatus(), ExitStatus::kUsage).ok());
  EXPECT_TRUE(Prefixed("file", absl::OkStatus()).ok());
}

TEST(ExitStatusTest, APrefixKeepsCodeAndStatus) {
  const absl::Status status = Prefixed("vm.json", UsageError("bad"));
  EXPECT_EQ(status.message(), "vm.json: bad");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ExitStatusFor(status), 64);
}

}  // namespace
}  // namespace kvmlet
