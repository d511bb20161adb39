// SPDX-License-Identifier: Apache-2.0
// A pseudo terminal for tests, both ends open.
#ifndef KVMLET_TESTS_DEVICES_BACKEND_TERMINAL_PTY_H_
#define KVMLET_TESTS_DEVICES_BACKEND_TERMINAL_PTY_H_

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>

#include "vmm/base/unique_fd.h"

namespace kvmlet {

struct Pty {
  Pty() {
    master.Reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    char name[64];
    if (!master.ok() || ::grantpt(master.get()) != 0 ||
        ::unlockpt(master.get()) != 0 ||
        ::ptsname_r(master.get(), name, sizeof(name)) != 0) {
      return;
    }
    slave.Reset(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  }
  bool ok() const { return slave.ok(); }
  termios settings() const {
    termios now{};
    ::tcgetattr(slave.get(), &now);
    return now;
  }

  UniqueFd master;
  UniqueFd slave;
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_DEVICES_BACKEND_TERMINAL_PTY_H_
