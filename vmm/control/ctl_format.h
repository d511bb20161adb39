// SPDX-License-Identifier: Apache-2.0
// QMP results and events as text for a terminal. Strings in them may come from
// a guest: no control character leaves here but newline and tab. Thread-safe;
// no state.
#ifndef KVMLET_VMM_CONTROL_CTL_FORMAT_H_
#define KVMLET_VMM_CONTROL_CTL_FORMAT_H_

#include <string>
#include <string_view>

#include "vmm/control/json.h"

namespace kvmlet {

// The result of a command, as whole lines; empty when there is nothing to say.
std::string FormatResult(std::string_view command, const Json& result);

// "2026-01-31T12:00:00.000001Z SHUTDOWN guest=true reason=guest-reset".
std::string FormatEvent(const Json& event);

// Control characters become '?', but for newline and tab.
std::string Printable(std::string_view text);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_CTL_FORMAT_H_
