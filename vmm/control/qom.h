// SPDX-License-Identifier: Apache-2.0
// Properties of the machine's devices under QEMU's object paths, for qom-get,
// qom-set and qom-list. A device is /machine/peripheral/ID, or just ID; whoever
// builds it adds its properties, with types that are checked before a setter
// runs.
//
// Threads: the main loop's thread only. QEMU's qapi/qom.json.
#ifndef KVMLET_VMM_CONTROL_QOM_H_
#define KVMLET_VMM_CONTROL_QOM_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/control/json.h"
#include "vmm/control/qmp_registry.h"

namespace kvmlet {

struct QomProperty {
  std::string type;  // as qom-list tells it: "size", "int", ...
  QmpType wants = QmpType::kAny;
  std::function<absl::StatusOr<Json>()> get;
  std::function<absl::Status(const Json&)> set;  // null: read-only
};

class QomObjects {
 public:
  // `type` is the object's, such as "virtio-balloon-pci".
  void Add(const std::string& id, std::string_view type,
           const std::string& name, QomProperty property);

  // NotFound when there is no such object.
  absl::StatusOr<Json> Get(std::string_view path,
                           const std::string& name) const;
  absl::Status Set(std::string_view path, const std::string& name,
                   const Json& value) const;
  absl::StatusOr<Json> List(std::string_view path) const;

 private:
  struct Object {
    std::string type;
    std::map<std::string, QomProperty> properties;
  };
  absl::StatusOr<const Object*> Find(std::string_view path) const;
  absl::StatusOr<const QomProperty*> Find(std::string_view path,
                                          const std::string& name) const;
  std::map<std::string, Object, std::less<>> objects_;
};

// `objects` outlives the registry's use.
void RegisterQomCommands(QmpRegistry& registry, const QomObjects& objects);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_QOM_H_
