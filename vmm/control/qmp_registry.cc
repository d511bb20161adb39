// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_registry.h"

#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_format.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

bool HasType(const Json& value, QmpType type) {
  switch (type) {
    case QmpType::kString:
      return value.is_string();
    case QmpType::kInteger:
      return value.is_number_integer() &&
             (!value.is_number_unsigned() ||
              value.get<uint64_t>() <= uint64_t{INT64_MAX});
    case QmpType::kUnsigned:
      return value.is_number_unsigned();
    case QmpType::kBoolean:
      return value.is_boolean();
    case QmpType::kNumber:
      return value.is_number();
    case QmpType::kObject:
      return value.is_object();
    case QmpType::kArray:
      return value.is_array();
    case QmpType::kAny:
      return true;
  }
  return false;
}

std::string_view TypeName(QmpType type) {
  switch (type) {
    case QmpType::kString:
      return "string";
    case QmpType::kInteger:
      return "integer";
    case QmpType::kUnsigned:
      return "uint64";
    case QmpType::kBoolean:
      return "boolean";
    case QmpType::kNumber:
      return "number";
    case QmpType::kObject:
      return "object";
    case QmpType::kArray:
      return "array";
    case QmpType::kAny:
      return "any value";
  }
  return "";
}

// The wording is QEMU's: clients and their users know it.
absl::Status CheckArguments(const std::vector<QmpArgument>& declared,
                            const Json& given) {
  for (const QmpArgument& argument : declared) {
    const Json* value = Member(given, argument.name);
    if (value == nullptr) {
      if (argument.optional) continue;
      return absl::InvalidArgumentError(
          absl::StrFormat("Parameter '%s' is missing", argument.name));
    }
    KVMLET_RETURN_IF_ERROR(CheckQmpType(argument.name, argument.type, *value));
  }
  for (auto it = given.begin(); it != given.end(); ++it) {
    bool known = false;
    for (const QmpArgument& argument : declared) {
      known = known || argument.name == it.key();
    }
    if (known) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "Parameter '%s' is unexpected", it.key().substr(0, 128)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckQmpType(std::string_view name, QmpType type,
                          const Json& value) {
  if (HasType(value, type)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "Invalid parameter type for '%s', expected: %s", name, TypeName(type)));
}

const Json* QmpArguments::Find(const std::string& name) const {
  return Member(values_, name);
}

const Json& QmpArguments::Required(const std::string& name) const {
  const Json* value = Find(name);
  CHECK(value != nullptr) << name << " is not declared as required";
  return *value;
}

const std::string& QmpArguments::String(const std::string& name) const {
  const auto* text = Required(name).get_ptr<const std::string*>();
  CHECK(text != nullptr) << name << " is not declared as a string";
  return *text;
}

int64_t QmpArguments::Integer(const std::string& name) const {
  CHECK(Required(name).is_number_integer()) << name;
  return Required(name).get<int64_t>();
}

uint64_t QmpArguments::Unsigned(const std::string& name) const {
  CHECK(Required(name).is_number_unsigned()) << name;
  return Required(name).get<uint64_t>();
}

bool QmpArguments::Boolean(const std::string& name) const {
  CHECK(Required(name).is_boolean()) << name;
  return Required(name).get<bool>();
}

std::optional<std::string> QmpArguments::MaybeString(
    const std::string& name) const {
  if (Find(name) == nullptr) return std::nullopt;
  return String(name);
}

std::optional<int64_t> QmpArguments::MaybeInteger(
    const std::string& name) const {
  if (Find(name) == nullptr) return std::nullopt;
  return Integer(name);
}

std::optional<uint64_t> QmpArguments::MaybeUnsigned(
    const std::string& name) const {
  if (Find(name) == nullptr) return std::nullopt;
  return Unsigned(name);
}

std::optional<bool> QmpArguments::MaybeBoolean(const std::string& name) const {
  if (Find(name) == nullptr) return std::nullopt;
  return Boolean(name);
}

void QmpRegistry::Register(std::string name, std::vector<QmpArgument> arguments,
                           Handler handler) {
  const bool added =
      commands_.emplace(name, Command{std::move(arguments), std::move(handler)})
          .second;
  CHECK(added) << "QMP command " << name << " is registered twice";
}

bool QmpRegistry::Has(std::string_view name) const {
  return commands_.find(name) != commands_.end();
}

std::vector<std::string> QmpRegistry::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, command] : commands_) names.push_back(name);
  return names;
}

absl::StatusOr<Json> QmpRegistry::Run(std::string_view name,
                                      const Json& arguments) const {
  const auto it = commands_.find(name);
  CHECK(it != commands_.end()) << "Run() of a command that is not registered";
  const Command& command = it->second;
  if (absl::Status status = CheckArguments(command.arguments, arguments);
      !status.ok()) {
    return status;
  }
  return command.handler(QmpArguments(arguments));
}

}  // namespace kvmlet
