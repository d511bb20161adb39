// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/memory_commands.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

// QEMU's VirtioMEMDeviceInfo, and what kvmlet knows beside it.
Json Describe(const MemoryDeviceInfo& info) {
  return {{"type", "virtio-mem"},
          {"data",
           {{"id", info.id},
            {"memaddr", info.address},
            {"requested-size", info.requested},
            {"size", info.plugged},
            {"max-size", info.max},
            {"block-size", info.block},
            {"node", info.node},
            {"memdev", absl::StrCat("/objects/", info.id)},
            {"__org.kvmlet_backing", info.backing},
            {"__org.kvmlet_prealloc", info.prealloc},
            {"__org.kvmlet_usable-size", info.usable},
            {"__org.kvmlet_state", info.state},
            {"__org.kvmlet_reason", info.reason},
            {"__org.kvmlet_memory-slots", info.slots},
            {"__org.kvmlet_unplugged-touched", info.touched_unplugged},
            {"__org.kvmlet_answers",
             {{"ack", info.acks},
              {"nack", info.nacks},
              {"busy", info.busies},
              {"error", info.errors}}}}}};
}

// QEMU's VirtioPMEMDeviceInfo, likewise.
Json Describe(const FixedMemoryInfo& info) {
  return {{"type", "virtio-pmem"},
          {"data",
           {{"id", info.id},
            {"memaddr", info.address},
            {"size", info.size},
            {"memdev", absl::StrCat("/objects/", info.id)},
            {"__org.kvmlet_backing", info.path},
            {"__org.kvmlet_read-only", info.read_only}}}};
}

absl::StatusOr<Json> Blocks(const MemoryControl& memory,
                            const std::string& id) {
  KVMLET_ASSIGN_OR_RETURN(const auto runs, memory.PluggedBlocks(id));
  for (const MemoryDeviceInfo& info : memory.memory_devices()) {
    if (info.id != id) continue;
    Json plugged = Json::array();
    for (const auto& [first, count] : runs) {
      plugged.push_back({{"first", first}, {"count", count}});
    }
    return Json{{"id", id},
                {"memaddr", info.address},
                {"block-size", info.block},
                {"blocks", info.max / info.block},
                {"usable-blocks", info.usable / info.block},
                {"plugged", std::move(plugged)}};
  }
  return absl::InternalError("a memory device vanished");
}

absl::StatusOr<Json> AddFault(MemoryControl& memory,
                              const QmpArguments& arguments) {
  MemoryFault fault;
  fault.request = arguments.MaybeString("request").value_or("");
  fault.response = arguments.MaybeString("response").value_or("");
  fault.count = arguments.MaybeUnsigned("count").value_or(0);
  fault.offset = arguments.MaybeUnsigned("offset").value_or(0);
  fault.size = arguments.MaybeUnsigned("size").value_or(0);
  const uint64_t delay = arguments.MaybeUnsigned("delay-ms").value_or(0);
  constexpr uint64_t kLongestDelay = 3'600'000;
  if (delay > kLongestDelay) {
    return absl::InvalidArgumentError("delay-ms is above an hour");
  }
  fault.delay = std::chrono::milliseconds(delay);
  KVMLET_RETURN_IF_ERROR(memory.AddFault(arguments.String("id"), fault));
  return Json::object();
}

}  // namespace

void RegisterMemoryCommands(QmpRegistry& registry, MachineControl& machine) {
  MemoryControl& memory = machine.memory();
  registry.Register("query-memory-devices", [&memory](const QmpArguments&) {
    Json list = Json::array();
    for (const MemoryDeviceInfo& info : memory.memory_devices()) {
      list.push_back(Describe(info));
    }
    for (const FixedMemoryInfo& info : memory.fixed_memory()) {
      list.push_back(Describe(info));
    }
    return list;
  });
  registry.Register(
      "query-memory-size-summary", [&machine, &memory](const QmpArguments&) {
        uint64_t plugged = 0;
        for (const MemoryDeviceInfo& info : memory.memory_devices()) {
          plugged += info.plugged;
        }
        return Json{{"base-memory", machine.memory_size()},
                    {"plugged-memory", plugged}};
      });
  registry.Register("__org.kvmlet_query-memory-blocks",
                    {{.name = "id", .type = QmpType::kString}},
                    [&memory](const QmpArguments& arguments) {
                      return Blocks(memory, arguments.String("id"));
                    });
  registry.Register(
      "__org.kvmlet_memory-fault",
      {{.name = "id", .type = QmpType::kString},
       {.name = "request", .type = QmpType::kString, .optional = true},
       {.name = "response", .type = QmpType::kString, .optional = true},
       {.name = "count", .type = QmpType::kUnsigned, .optional = true},
       {.name = "delay-ms", .type = QmpType::kUnsigned, .optional = true},
       {.name = "offset", .type = QmpType::kUnsigned, .optional = true},
       {.name = "size", .type = QmpType::kUnsigned, .optional = true}},
      [&memory](const QmpArguments& arguments) {
        return AddFault(memory, arguments);
      });
  registry.Register(
      "__org.kvmlet_memory-fault-clear",
      {{.name = "id", .type = QmpType::kString}},
      [&memory](const QmpArguments& arguments) -> absl::StatusOr<Json> {
        KVMLET_RETURN_IF_ERROR(memory.ClearFaults(arguments.String("id")));
        return Json::object();
      });
}

}  // namespace kvmlet
