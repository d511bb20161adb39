// SPDX-License-Identifier: Apache-2.0
// What is the same on every ISA; the rest is in guest_code_<isa>.cc.
#include "tests/kvm/guest_code.h"

#include <algorithm>
#include <cstddef>

namespace kvmlet {

void GuestCode::Add32(uint32_t value) {
  for (int i = 0; i < 4; ++i) {
    bytes_.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
}

GuestCode& GuestCode::Over(GuestCode& (GuestCode::*jump)(uint32_t),
                           const std::function<void(GuestCode&)>& body) {
  const size_t at = bytes_.size();
  (this->*jump)(here());
  body(*this);
  // The jump again, now that its target is known; it is as long as before.
  GuestCode patched;
  patched.bytes_.assign(bytes_.begin(),
                        bytes_.begin() + static_cast<std::ptrdiff_t>(at));
  (patched.*jump)(here());
  std::ranges::copy(patched.bytes_, bytes_.begin());
  return *this;
}

GuestCode& GuestCode::IfEqual(const std::function<void(GuestCode&)>& body) {
  return Over(&GuestCode::JumpIfNotEqual, body);
}

GuestCode& GuestCode::IfNotEqual(const std::function<void(GuestCode&)>& body) {
  return Over(&GuestCode::JumpIfEqual, body);
}

}  // namespace kvmlet
