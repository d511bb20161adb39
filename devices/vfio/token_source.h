// SPDX-License-Identifier: Apache-2.0
// Reads a VF token from where a user keeps it: the text itself, a file, or an
// inherited file descriptor. Nothing of it is repeated in an error, and the
// buffers it went through are wiped. Not thread-safe for one descriptor.
#ifndef KVMLET_DEVICES_VFIO_TOKEN_SOURCE_H_
#define KVMLET_DEVICES_VFIO_TOKEN_SOURCE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "devices/vfio/token.h"

namespace kvmlet::vfio {

// At most one is given. A descriptor is read to its end and closed.
struct TokenSource {
  std::string text;
  std::string file;
  int fd = -1;
};
absl::StatusOr<std::optional<Token>> ReadToken(const TokenSource& source);

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_TOKEN_SOURCE_H_
