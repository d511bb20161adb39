// SPDX-License-Identifier: Apache-2.0
// A QMP client that sends anything: the stream is cut, parsed and dispatched
// to a fake machine. The first byte says how large the reads are, and whether
// the client negotiates first. Every reply must be one line of JSON.
#include <glog/logging.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tests/vmm/control/fake_machine.h"
#include "vmm/control/ctl_command.h"
#include "vmm/control/ctl_format.h"
#include "vmm/control/qmp_commands.h"
#include "vmm/control/qmp_session.h"

namespace kvmlet {
namespace {

// Commands with every type of argument; the machine's own take few.
void RegisterTyped(QmpRegistry& registry) {
  registry.Register("typed",
                    {{.name = "s", .type = QmpType::kString},
                     {.name = "i", .type = QmpType::kInteger},
                     {.name = "u", .type = QmpType::kUnsigned},
                     {.name = "b", .type = QmpType::kBoolean, .optional = true},
                     {.name = "n", .type = QmpType::kNumber, .optional = true},
                     {.name = "o", .type = QmpType::kObject, .optional = true},
                     {.name = "a", .type = QmpType::kArray, .optional = true},
                     {.name = "x", .type = QmpType::kAny, .optional = true}},
                    [](const QmpArguments& arguments) {
                      return Json{
                          {"s", arguments.String("s")},
                          {"i", arguments.Integer("i")},
                          {"u", arguments.Unsigned("u")},
                          {"b", arguments.MaybeBoolean("b").has_value()}};
                    });
}

void CheckReplies(QmpSession& session) {
  while (const std::optional<std::string> line = session.HandleNext()) {
    const std::optional<Json> reply = ParseJson(*line);
    CHECK(reply) << *line;
    CHECK(reply->contains("return") != reply->contains("error")) << *line;
    CHECK_EQ(line->find('\n'), line->size() - 1);
    // What a client would make of it must hold as well.
    for (const char* command :
         {"query-status", "query-cpus-fast", "query-other"}) {
      FormatResult(command, *reply);
    }
    FormatEvent(*reply);
  }
}

void Run(std::string_view input) {
  if (input.empty()) return;
  const auto mode = static_cast<uint8_t>(input.front());
  input.remove_prefix(1);
  FakeMachine machine;
  QmpRegistry registry;
  RegisterMachineCommands(registry, machine);
  RegisterTyped(registry);
  QmpSession session(registry);
  if ((mode & 1) != 0) session.Push(R"({"execute":"qmp_capabilities"})");
  ParseCtlValue(std::string(input.substr(0, 256)));
  const size_t chunk = size_t{mode} / 2 + 1;
  while (!input.empty()) {
    const size_t size = std::min(chunk, input.size());
    session.Push(input.substr(0, size));
    input.remove_prefix(size);
    CheckReplies(session);
  }
}

}  // namespace
}  // namespace kvmlet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kvmlet::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
