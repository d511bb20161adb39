// SPDX-License-Identifier: Apache-2.0
// The vCPUs' exits by reason as text for people: how many there were, and what
// they cost when they are traced. Groups of other providers are passed over.
//
// Thread-safe; no state.
#ifndef KVMLET_VMM_BASE_EXITS_TEXT_H_
#define KVMLET_VMM_BASE_EXITS_TEXT_H_

#include <span>
#include <string>

#include "vmm/base/stats.h"

namespace kvmlet {

std::string ExitsText(std::span<const StatsGroup> groups);

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_EXITS_TEXT_H_
