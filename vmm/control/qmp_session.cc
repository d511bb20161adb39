// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/control/qmp_commands.h"

namespace kvmlet {
namespace {

constexpr char kNegotiate[] = "qmp_capabilities";

Json Error(std::string_view error_class, std::string_view description) {
  return {{"error", {{"class", error_class}, {"desc", description}}}};
}

Json GenericError(std::string_view description) {
  return Error("GenericError", description);
}

Json FromStatus(const absl::Status& status) {
  const absl::string_view text = status.message();
  const char* error_class = "GenericError";
  if (absl::IsNotFound(status)) error_class = "DeviceNotFound";
  if (absl::IsUnavailable(status)) error_class = "DeviceNotActive";
  return Error(error_class, std::string_view(text.data(), text.size()));
}

std::string Line(const Json& json) { return DumpJson(json) + "\r\n"; }

// What is wrong with the request as such, in QEMU's words; empty when nothing.
std::string ShapeError(const Json& request) {
  if (!request.is_object()) return "QMP input must be a JSON object";
  for (auto it = request.begin(); it != request.end(); ++it) {
    const std::string& key = it.key();
    if (key == "execute" && !it->is_string()) {
      return "QMP input member 'execute' must be a string";
    }
    if (key == "arguments" && !it->is_object()) {
      return "QMP input member 'arguments' must be an object";
    }
    if (key != "execute" && key != "arguments" && key != "id") {
      return absl::StrFormat("QMP input member '%s' is unexpected",
                             key.substr(0, 128));
    }
  }
  if (!request.contains("execute")) {
    return "QMP input lacks member 'execute'";
  }
  return "";
}

}  // namespace

std::string QmpSession::Greeting() {
  return Line(
      {{"QMP", {{"version", QmpVersion()}, {"capabilities", Json::array()}}}});
}

std::string QmpSession::ErrorLine(std::string_view error_class,
                                  std::string_view description) {
  return Line(Error(error_class, description));
}

std::optional<std::string> QmpSession::HandleNext() {
  const std::optional<JsonStream::Item> item = stream_.Next();
  if (!item) return std::nullopt;
  if (!item->error.empty()) {
    return Line(GenericError(absl::StrCat("JSON parse error, ", item->error)));
  }
  const std::optional<Json> request = ParseJson(item->text);
  if (!request) {
    return Line(GenericError("JSON parse error, invalid syntax"));
  }
  Json reply = Execute(*request);
  if (const Json* id = Member(*request, "id")) reply["id"] = *id;
  return Line(reply);
}

Json QmpSession::Execute(const Json& request) {
  if (const std::string wrong = ShapeError(request); !wrong.empty()) {
    return GenericError(wrong);
  }
  const std::string name = StringMember(request, "execute");
  const Json* given = Member(request, "arguments");
  const Json arguments = given != nullptr ? *given : Json::object();
  if (name == kNegotiate) {
    if (negotiated_) {
      return Error("CommandNotFound",
                   "Capabilities negotiation is already complete, command "
                   "ignored");
    }
    const absl::Status status = Negotiate(arguments);
    if (!status.ok()) return FromStatus(status);
    return {{"return", Json::object()}};
  }
  if (!negotiated_) {
    return Error("CommandNotFound",
                 "Expecting capabilities negotiation with 'qmp_capabilities'");
  }
  if (!registry_.Has(name)) {
    return Error("CommandNotFound",
                 absl::StrFormat("The command %s has not been found",
                                 name.substr(0, 128)));
  }
  absl::StatusOr<Json> result = registry_.Run(name, arguments);
  if (!result.ok()) return FromStatus(result.status());
  return {{"return", *std::move(result)}};
}

absl::Status QmpSession::Negotiate(const Json& arguments) {
  for (auto it = arguments.begin(); it != arguments.end(); ++it) {
    if (it.key() == "enable") continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "Parameter '%s' is unexpected", it.key().substr(0, 128)));
  }
  if (const Json* enable = Member(arguments, "enable")) {
    if (!enable->is_array()) {
      return absl::InvalidArgumentError(
          "Invalid parameter type for 'enable', expected: array");
    }
    // None is offered, so none can be enabled.
    if (!enable->empty()) {
      return absl::InvalidArgumentError(
          "Parameter 'enable' names a capability that is not offered");
    }
  }
  negotiated_ = true;
  return absl::OkStatus();
}

}  // namespace kvmlet
