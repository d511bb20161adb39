// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/token_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet::vfio {
namespace {

// White space after the token is what editors and echo leave.
absl::StatusOr<Token> ReadFrom(const UniqueFd& fd, const std::string& where) {
  std::array<char, 256> buffer;
  size_t size = 0;
  ssize_t got = 1;
  while (got > 0 && size < buffer.size()) {
    got = ::read(fd.get(), buffer.data() + size, buffer.size() - size);
    if (got < 0 && errno == EINTR)
      got = 1;
    else if (got > 0)
      size += static_cast<size_t>(got);
  }
  const int error = got < 0 ? errno : 0;
  std::string_view text(buffer.data(), size);
  text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
  absl::StatusOr<Token> token = Token::Parse(where, text);
  ::explicit_bzero(buffer.data(), buffer.size());
  if (error != 0) return CannotOpen(error, where);
  return token;
}

}  // namespace

absl::StatusOr<std::optional<Token>> ReadToken(const TokenSource& source) {
  absl::StatusOr<Token> token = absl::UnknownError("no source");
  if (!source.text.empty()) {
    token = Token::Parse("--vfio vf-token", source.text);
  } else if (!source.file.empty()) {
    const std::string where =
        absl::StrCat("--vfio vf-token-file=", source.file);
    const UniqueFd fd(::open(source.file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.ok()) return CannotOpen(errno, where);
    token = ReadFrom(fd, where);
  } else if (source.fd >= 0) {
    token = ReadFrom(UniqueFd(source.fd),
                     absl::StrCat("--vfio vf-token-fd=", source.fd));
  } else {
    return std::nullopt;
  }
  if (!token.ok()) return token.status();
  return *token;
}

}  // namespace kvmlet::vfio
