// SPDX-License-Identifier: Apache-2.0
// A QMP server for a fake machine: qmp_test_server PATH. It runs until "quit".
#include <iostream>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tests/vmm/control/fake_machine.h"
#include "vmm/control/events.h"
#include "vmm/control/qmp_commands.h"
#include "vmm/control/qmp_registry.h"
#include "vmm/control/qmp_server.h"
#include "vmm/event/event_loop.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: qmp_test_server PATH\n";
    return 64;
  }
  const absl::StatusOr<std::unique_ptr<kvmlet::EventLoop>> loop =
      kvmlet::EventLoop::Create();
  if (!loop.ok()) {
    std::cerr << loop.status().message() << '\n';
    return 71;
  }
  kvmlet::Events events;
  kvmlet::FakeMachine machine(&events);
  machine.on_quit = [&loop] { (*loop)->Stop(); };
  kvmlet::QmpRegistry registry;
  kvmlet::RegisterMachineCommands(registry, machine);
  const auto server = kvmlet::QmpServer::Create(**loop, argv[1], registry);
  if (!server.ok()) {
    std::cerr << server.status().message() << '\n';
    return 71;
  }
  events.AddSink(**server);
  (*loop)->Run();
  events.RemoveSink(**server);
  return 0;
}
