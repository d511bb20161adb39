// SPDX-License-Identifier: Apache-2.0
// The table of QMP commands: each feature registers its own by name, with the
// arguments it takes, and gets them checked. A handler runs to its end on the
// main loop and must not block; its error becomes QMP's (NotFound is class
// DeviceNotFound, Unavailable is DeviceNotActive, everything else
// GenericError).
//
// Threads: the main loop's thread only. QMP specification, "Issuing Commands".
#ifndef KVMLET_VMM_CONTROL_QMP_REGISTRY_H_
#define KVMLET_VMM_CONTROL_QMP_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/control/json.h"

namespace kvmlet {

enum class QmpType {
  kString,
  kInteger,   // fits int64_t
  kUnsigned,  // fits uint64_t
  kBoolean,
  kNumber,
  kObject,
  kArray,
  kAny,
};

// The error, in QEMU's words, unless the value has the type.
absl::Status CheckQmpType(std::string_view name, QmpType type,
                          const Json& value);

struct QmpArgument {
  std::string name;
  QmpType type = QmpType::kString;
  bool optional = false;
};

// Arguments that were checked against their declaration. The getters without
// "Maybe" are for arguments that are not optional; asking for one that was not
// declared, or by another type, is a bug.
class QmpArguments {
 public:
  // `values` is an object that outlives this.
  explicit QmpArguments(const Json& values) : values_(values) {}

  const std::string& String(const std::string& name) const;
  int64_t Integer(const std::string& name) const;
  uint64_t Unsigned(const std::string& name) const;
  bool Boolean(const std::string& name) const;

  std::optional<std::string> MaybeString(const std::string& name) const;
  std::optional<int64_t> MaybeInteger(const std::string& name) const;
  std::optional<uint64_t> MaybeUnsigned(const std::string& name) const;
  std::optional<bool> MaybeBoolean(const std::string& name) const;
  // Null when it was not given.
  const Json* Find(const std::string& name) const;

 private:
  const Json& Required(const std::string& name) const;
  const Json& values_;
};

class QmpRegistry {
 public:
  using Handler = std::function<absl::StatusOr<Json>(const QmpArguments&)>;

  QmpRegistry() = default;
  QmpRegistry(const QmpRegistry&) = delete;
  QmpRegistry& operator=(const QmpRegistry&) = delete;

  // A name is registered once. An empty object is QMP's "nothing to return".
  void Register(std::string name, Handler handler) {
    Register(std::move(name), {}, std::move(handler));
  }
  void Register(std::string name, std::vector<QmpArgument> arguments,
                Handler handler);

  bool Has(std::string_view name) const;
  std::vector<std::string> Names() const;  // sorted

  // Checks `arguments` (an object) and calls the handler of a command that
  // exists.
  absl::StatusOr<Json> Run(std::string_view name, const Json& arguments) const;

 private:
  struct Command {
    std::vector<QmpArgument> arguments;
    Handler handler;
  };
  std::map<std::string, Command, std::less<>> commands_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_QMP_REGISTRY_H_
