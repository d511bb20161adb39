// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "vmm/cli/commands.h"
#include "vmm/control/ctl.h"
#include "vmm/session.h"

int main(int argc, char** argv) {
  const kvmlet::cli::Handlers handlers{
      .run = kvmlet::RunVm,
      .ctl =
          [](std::span<const std::string> args) {
            return kvmlet::CtlMain(args, std::cout, std::cerr);
          },
  };
  return kvmlet::cli::Main(argc, argv, handlers);
}
