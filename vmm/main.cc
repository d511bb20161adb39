// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>

#include <iostream>

#include "vmm/cli/commands.h"
#include "vmm/control/ctl.h"
#include "vmm/exits/exits.h"
#include "vmm/session.h"
#include "vmm/sriov/sriov.h"

int main(int argc, char** argv) {
  // No hot path allocates: an arena a thread would only cost memory.
  ::mallopt(M_ARENA_MAX, 1);
  const kvmlet::cli::Handlers handlers{
      .run = kvmlet::RunVm,
      .ctl =
          [](std::span<const std::string> args) {
            return kvmlet::CtlMain(args, std::cout, std::cerr);
          },
      .sriov =
          [](std::span<const std::string> args) {
            return kvmlet::sriov::SriovMain(args, std::cout, std::cerr);
          },
      .exits =
          [](const kvmlet::cli::ExitsRequest& request) {
            using kvmlet::ExitsFormat;
            const ExitsFormat format = request.json   ? ExitsFormat::kJson
                                       : request.list ? ExitsFormat::kList
                                                      : ExitsFormat::kTable;
            return kvmlet::ExitsMain(request.path, format, std::cout,
                                     std::cerr);
          },
  };
  return kvmlet::cli::Main(argc, argv, handlers);
}
