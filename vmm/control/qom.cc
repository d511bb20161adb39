// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qom.h"

#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_format.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

constexpr std::string_view kPeripheral = "/machine/peripheral/";

// What an error repeats of a client's text.
std::string Shown(std::string_view text) {
  return std::string(text.substr(0, 128));
}

}  // namespace

void QomObjects::Add(const std::string& id, std::string_view type,
                     const std::string& name, QomProperty property) {
  Object& object = objects_[id];
  object.type = type;
  const bool added =
      object.properties.emplace(name, std::move(property)).second;
  CHECK(added) << "property " << id << "." << name << " is added twice";
}

absl::StatusOr<const QomObjects::Object*> QomObjects::Find(
    std::string_view path) const {
  std::string_view id = path;
  if (id.starts_with(kPeripheral)) id.remove_prefix(kPeripheral.size());
  const auto it = objects_.find(id);
  if (it != objects_.end()) return &it->second;
  return absl::NotFoundError(
      absl::StrFormat("Device '%s' not found", Shown(path)));
}

absl::StatusOr<const QomProperty*> QomObjects::Find(
    std::string_view path, const std::string& name) const {
  KVMLET_ASSIGN_OR_RETURN(const Object* object, Find(path));
  const auto it = object->properties.find(name);
  if (it != object->properties.end()) return &it->second;
  return absl::InvalidArgumentError(
      absl::StrFormat("Property '%s.%s' not found", object->type, Shown(name)));
}

absl::StatusOr<Json> QomObjects::Get(std::string_view path,
                                     const std::string& name) const {
  KVMLET_ASSIGN_OR_RETURN(const QomProperty* property, Find(path, name));
  return property->get();
}

absl::Status QomObjects::Set(std::string_view path, const std::string& name,
                             const Json& value) const {
  KVMLET_ASSIGN_OR_RETURN(const QomProperty* property, Find(path, name));
  if (!property->set) {
    return absl::PermissionDeniedError(
        absl::StrFormat("Property '%s' is not writable", name));
  }
  KVMLET_RETURN_IF_ERROR(CheckQmpType(name, property->wants, value));
  return property->set(value);
}

absl::StatusOr<Json> QomObjects::List(std::string_view path) const {
  KVMLET_ASSIGN_OR_RETURN(const Object* object, Find(path));
  Json list = Json::array();
  for (const auto& [name, property] : object->properties) {
    list.push_back({{"name", name}, {"type", property.type}});
  }
  return list;
}

void RegisterQomCommands(QmpRegistry& registry, const QomObjects& objects) {
  registry.Register("qom-get",
                    {{.name = "path", .type = QmpType::kString},
                     {.name = "property", .type = QmpType::kString}},
                    [&objects](const QmpArguments& arguments) {
                      return objects.Get(arguments.String("path"),
                                         arguments.String("property"));
                    });
  registry.Register(
      "qom-set",
      {{.name = "path", .type = QmpType::kString},
       {.name = "property", .type = QmpType::kString},
       {.name = "value", .type = QmpType::kAny}},
      [&objects](const QmpArguments& arguments) -> absl::StatusOr<Json> {
        KVMLET_RETURN_IF_ERROR(objects.Set(arguments.String("path"),
                                           arguments.String("property"),
                                           *arguments.Find("value")));
        return Json::object();
      });
  registry.Register("qom-list", {{.name = "path", .type = QmpType::kString}},
                    [&objects](const QmpArguments& arguments) {
                      return objects.List(arguments.String("path"));
                    });
}

}  // namespace kvmlet
