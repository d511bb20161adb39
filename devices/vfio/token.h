// SPDX-License-Identifier: Apache-2.0
// The VF token: the secret that the user of a physical function shares with
// the users of its virtual functions, and the decision when to send one. Its
// bytes are wiped when it dies and never become part of a message or a log.
//
// Threads: values, no state. Specification: Linux, include/uapi/linux/vfio.h,
// VFIO_DEVICE_FEATURE_PCI_VF_TOKEN; drivers/vfio/pci/vfio_pci_core.c,
// vfio_pci_validate_vf_token().
#ifndef KVMLET_DEVICES_VFIO_TOKEN_H_
#define KVMLET_DEVICES_VFIO_TOKEN_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/vfio/sysfs.h"

namespace kvmlet::vfio {

class Token {
 public:
  static constexpr size_t kTextSize = 36;

  // "01234567-89ab-cdef-0123-456789abcdef", hexadecimal digits of any case.
  // The error does not repeat the text. `where` names the flag.
  static absl::StatusOr<Token> Parse(std::string_view where,
                                     std::string_view text);
  static absl::StatusOr<Token> Random();

  Token(const Token&) = default;
  Token& operator=(const Token&) = default;
  ~Token();

  // The 16 bytes in the order of the text, as the kernel takes them.
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  // For the kernel and for the state file only.
  std::string Text() const;
  friend bool operator==(const Token&, const Token&) = default;

 private:
  Token() = default;
  std::array<uint8_t, 16> bytes_{};
};

// Overwrites a secret in place.
void Wipe(std::string& secret);

// What to send when the function is opened.
struct TokenDecision {
  std::optional<Token> send;
  // The token was made up here: nobody else can know it.
  bool fresh = false;
};

// `given` is the user's. A VF of a PF on vfio-pci needs one; a PF on vfio-pci
// gets a fresh one rather than keeping its last user's; everything else takes
// none, and the kernel would refuse it there.
absl::StatusOr<TokenDecision> DecideToken(const DeviceFacts& device,
                                          const std::optional<Token>& given);

}  // namespace kvmlet::vfio

#endif  // KVMLET_DEVICES_VFIO_TOKEN_H_
