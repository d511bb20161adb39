// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_commands.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"
#include "vmm/control/device_commands.h"
#include "vmm/control/memory_commands.h"
#include "vmm/control/qom.h"
#include "vmm/control/stats_commands.h"

namespace kvmlet {
namespace {

// A command that only does something: success is an empty object.
absl::StatusOr<Json> Done(const absl::Status& status) {
  if (!status.ok()) return status;
  return Json::object();
}

Json Vcpus(const MachineControl& machine) {
  Json list = Json::array();
  for (const VcpuInfo& vcpu : machine.vcpus()) {
    list.push_back(
        {{"cpu-index", vcpu.index},
         {"qom-path", absl::StrCat("/machine/cpu[", vcpu.index, "]")},
         {"thread-id", vcpu.thread_id},
         {"props",
          {{"socket-id", vcpu.socket},
           {"core-id", vcpu.core},
           {"thread-id", vcpu.thread}}},
         {"target", machine.arch_name()},
         {"__org.kvmlet_exits", vcpu.exits}});
  }
  return list;
}

Json Devices(const MachineControl& machine) {
  Json list = Json::array();
  for (const DeviceInfo& device : machine.devices()) {
    list.push_back({{"id", device.id},
                    {"type", device.type},
                    {"address", device.address},
                    {"backend", device.backend}});
  }
  return list;
}

absl::StatusOr<Json> Dump(MachineControl& machine,
                          const QmpArguments& arguments) {
  constexpr std::string_view kFile = "file:";
  const std::string& protocol = arguments.String("protocol");
  if (!protocol.starts_with(kFile) || protocol.size() == kFile.size()) {
    return absl::InvalidArgumentError("protocol is file:PATH");
  }
  if (arguments.MaybeString("format").value_or("elf") != "elf") {
    return absl::InvalidArgumentError("format is elf");
  }
  return Done(machine.DumpGuest(protocol.substr(kFile.size()),
                                arguments.Boolean("paging")));
}

void RegisterQueries(QmpRegistry& registry, MachineControl& machine) {
  registry.Register("query-commands", [&registry](const QmpArguments&) {
    Json list = Json::array();
    list.push_back({{"name", "qmp_capabilities"}});
    for (const std::string& name : registry.Names()) {
      list.push_back({{"name", name}});
    }
    return list;
  });
  registry.Register("query-version",
                    [](const QmpArguments&) { return QmpVersion(); });
  registry.Register("query-name", [&machine](const QmpArguments&) {
    return Json{{"name", machine.vm_name()}};
  });
  registry.Register("query-kvm", [](const QmpArguments&) {
    return Json{{"enabled", true}, {"present", true}};
  });
  registry.Register("query-status", [&machine](const QmpArguments&) {
    const RunState state = machine.run_state();
    return Json{{"running", state == RunState::kRunning},
                {"status", RunStateName(state)}};
  });
  registry.Register("query-target", [&machine](const QmpArguments&) {
    return Json{{"arch", machine.arch_name()}};
  });
  registry.Register("query-cpus-fast",
                    [&machine](const QmpArguments&) { return Vcpus(machine); });
  registry.Register(
      "query-balloon", [&machine](const QmpArguments&) -> absl::StatusOr<Json> {
        KVMLET_ASSIGN_OR_RETURN(const uint64_t actual, machine.BalloonSize());
        return Json{{"actual", actual}};
      });
}

void RegisterActions(QmpRegistry& registry, MachineControl& machine) {
  registry.Register("stop", [&machine](const QmpArguments&) {
    return Done(machine.Pause());
  });
  registry.Register("cont", [&machine](const QmpArguments&) {
    return Done(machine.Resume());
  });
  registry.Register("system_powerdown", [&machine](const QmpArguments&) {
    return Done(machine.PowerButton());
  });
  registry.Register("system_reset", [&machine](const QmpArguments&) {
    return Done(machine.SystemReset());
  });
  registry.Register(
      "balloon", {{.name = "value", .type = QmpType::kUnsigned}},
      [&machine](const QmpArguments& arguments) {
        return Done(machine.SetBalloon(arguments.Unsigned("value")));
      });
  registry.Register(
      "dump-guest-memory",
      {{.name = "paging", .type = QmpType::kBoolean},
       {.name = "protocol", .type = QmpType::kString},
       {.name = "format", .type = QmpType::kString, .optional = true}},
      [&machine](const QmpArguments& arguments) {
        return Dump(machine, arguments);
      });
  registry.Register("quit", [&machine](const QmpArguments&) {
    machine.Quit();
    return Json::object();
  });
}

void RegisterOwn(QmpRegistry& registry, MachineControl& machine) {
  registry.Register("__org.kvmlet_resize-disk",
                    {{.name = "id", .type = QmpType::kString}},
                    [&machine](const QmpArguments& arguments) {
                      return Done(machine.ResizeDisk(arguments.String("id")));
                    });
  registry.Register(
      "__org.kvmlet_inject-memory-error",
      {{.name = "address", .type = QmpType::kUnsigned},
       {.name = "action-required", .type = QmpType::kBoolean, .optional = true},
       {.name = "vcpu", .type = QmpType::kUnsigned, .optional = true}},
      [&machine](const QmpArguments& arguments) -> absl::StatusOr<Json> {
        const uint64_t vcpu = arguments.MaybeUnsigned("vcpu").value_or(0);
        if (vcpu > UINT32_MAX) {
          return absl::InvalidArgumentError("there is no such vCPU");
        }
        return Done(machine.InjectMemoryError(
            arguments.Unsigned("address"),
            arguments.MaybeBoolean("action-required").value_or(false),
            static_cast<uint32_t>(vcpu)));
      });
  registry.Register(
      "__org.kvmlet_query-devices",
      [&machine](const QmpArguments&) { return Devices(machine); });
  registry.Register("__org.kvmlet_query-registers",
                    [&machine](const QmpArguments&) -> absl::StatusOr<Json> {
                      KVMLET_ASSIGN_OR_RETURN(std::string text,
                                              machine.RegistersText());
                      return Json{{"text", std::move(text)}};
                    });
}

}  // namespace

void RegisterMachineCommands(QmpRegistry& registry, MachineControl& machine) {
  RegisterQueries(registry, machine);
  RegisterActions(registry, machine);
  RegisterOwn(registry, machine);
  RegisterDeviceCommands(registry, machine);
  RegisterMemoryCommands(registry, machine);
  RegisterStatsCommands(registry, machine);
  RegisterQomCommands(registry, machine.objects());
}

Json QmpVersion() {
  return {{"qemu",
           {{"major", KVMLET_MAJOR},
            {"minor", KVMLET_MINOR},
            {"micro", KVMLET_PATCH}}},
          {"package", absl::StrCat("kvmlet ", KVMLET_MAJOR, ".", KVMLET_MINOR,
                                   ".", KVMLET_PATCH)}};
}

std::string_view RunStateName(RunState state) {
  switch (state) {
    case RunState::kPrelaunch:
      return "prelaunch";
    case RunState::kRunning:
      return "running";
    case RunState::kPaused:
      return "paused";
    case RunState::kDebug:
      return "debug";
    case RunState::kGuestPanicked:
      return "guest-panicked";
    case RunState::kShutdown:
      return "shutdown";
  }
  return "internal-error";
}

}  // namespace kvmlet
