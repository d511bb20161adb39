// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/token.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::vfio {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsDashPlace(size_t at) {
  return at == 8 || at == 13 || at == 18 || at == 23;
}

absl::Status Malformed(std::string_view where) {
  return BadInput(
      absl::StrCat(std::string(where),
                   ": that is not a token; write 36 characters as "
                   "01234567-89ab-cdef-0123-456789abcdef (uuidgen makes one)"));
}

}  // namespace

void Wipe(std::string& secret) {
  ::explicit_bzero(secret.data(), secret.size());
  secret.clear();
}

Token::~Token() { ::explicit_bzero(bytes_.data(), bytes_.size()); }

absl::StatusOr<Token> Token::Parse(std::string_view where,
                                   std::string_view text) {
  if (text.size() != kTextSize) return Malformed(where);
  Token token;
  size_t digit = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (IsDashPlace(i)) {
      if (text[i] != '-') return Malformed(where);
      continue;
    }
    const int value = HexDigit(text[i]);
    if (value < 0) return Malformed(where);
    uint8_t& byte = token.bytes_[digit / 2];
    byte = static_cast<uint8_t>(byte << 4 | value);
    ++digit;
  }
  return token;
}

absl::StatusOr<Token> Token::Random() {
  Token token;
  const ssize_t got = ::getrandom(token.bytes_.data(), token.bytes_.size(), 0);
  if (got != static_cast<ssize_t>(token.bytes_.size())) {
    return OsRefused(got < 0 ? errno : EIO, "getrandom for a VF token");
  }
  // RFC 4122, section 4.4: version 4, variant 1.
  token.bytes_[6] = static_cast<uint8_t>((token.bytes_[6] & 0x0f) | 0x40);
  token.bytes_[8] = static_cast<uint8_t>((token.bytes_[8] & 0x3f) | 0x80);
  return token;
}

std::string Token::Text() const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(kTextSize);
  for (const uint8_t byte : bytes_) {
    if (IsDashPlace(text.size())) text.push_back('-');
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 0xf]);
  }
  return text;
}

absl::StatusOr<TokenDecision> DecideToken(const DeviceFacts& device,
                                          const std::optional<Token>& given) {
  const bool needed = device.is_vf() && IsVfioDriver(device.pf_driver);
  if (needed && !given) {
    return BadInput(absl::StrCat(
        device.bdf, ": its physical function ", device.pf, " is on ",
        device.pf_driver,
        ", so opening it takes the token that the physical function's user "
        "has set: give vf-token-file=PATH"));
  }
  if (needed || (device.is_pf() && given)) return TokenDecision{given, false};
  if (given && device.is_vf()) {
    return BadInput(absl::StrCat(
        device.bdf, ": no token applies, its physical function ", device.pf,
        " is on ", device.pf_driver.empty() ? "no driver" : device.pf_driver,
        ", not on vfio-pci: leave vf-token out"));
  }
  if (given) {
    return BadInput(absl::StrCat(
        device.bdf,
        ": no token applies, the device has no virtual functions (SR-IOV) "
        "and is none: leave vf-token out"));
  }
  if (!device.is_pf()) return TokenDecision{};
  KVMLET_ASSIGN_OR_RETURN(Token token, Token::Random());
  return TokenDecision{token, true};
}

}  // namespace kvmlet::vfio
