// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/device_commands.h"

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr char kForce[] = "__org.kvmlet_force";

absl::StatusOr<Json> Add(MachineControl& machine,
                         const QmpArguments& arguments) {
  PlugRequest request{
      .driver = arguments.String("driver"),
      .id = arguments.String("id"),
      .host = arguments.String("host"),
      .vf = std::nullopt,
      .vf_token = arguments.MaybeString("vf-token").value_or(""),
      .vf_token_file = arguments.MaybeString("vf-token-file").value_or(""),
      .iommufd = arguments.MaybeBoolean("iommufd"),
      .rom = arguments.MaybeUnsigned("rombar").value_or(1) != 0,
      .rom_file = arguments.MaybeString("romfile").value_or("")};
  if (request.driver != "vfio-pci") {
    return absl::InvalidArgumentError(
        absl::StrCat("'", request.driver,
                     "' cannot be added to a running machine; vfio-pci can"));
  }
  if (const auto vf = arguments.MaybeUnsigned("vf")) {
    if (*vf > UINT16_MAX) {
      return absl::InvalidArgumentError(
          absl::StrCat("vf: there is no virtual function ", *vf));
    }
    request.vf = static_cast<uint32_t>(*vf);
  }
  KVMLET_RETURN_IF_ERROR(machine.PlugDevice(request));
  return Json::object();
}

}  // namespace

void RegisterDeviceCommands(QmpRegistry& registry, MachineControl& machine) {
  registry.Register(
      "device_add",
      {{.name = "driver", .type = QmpType::kString},
       {.name = "id", .type = QmpType::kString},
       {.name = "host", .type = QmpType::kString},
       {.name = "vf", .type = QmpType::kUnsigned, .optional = true},
       {.name = "vf-token", .type = QmpType::kString, .optional = true},
       {.name = "vf-token-file", .type = QmpType::kString, .optional = true},
       {.name = "iommufd", .type = QmpType::kBoolean, .optional = true},
       {.name = "rombar", .type = QmpType::kUnsigned, .optional = true},
       {.name = "romfile", .type = QmpType::kString, .optional = true}},
      [&machine](const QmpArguments& arguments) {
        return Add(machine, arguments);
      });
  registry.Register(
      "device_del",
      {{.name = "id", .type = QmpType::kString},
       {.name = kForce, .type = QmpType::kBoolean, .optional = true}},
      [&machine](const QmpArguments& arguments) -> absl::StatusOr<Json> {
        KVMLET_RETURN_IF_ERROR(machine.UnplugDevice(
            arguments.String("id"),
            arguments.MaybeBoolean(kForce).value_or(false)));
        return Json::object();
      });
}

}  // namespace kvmlet
