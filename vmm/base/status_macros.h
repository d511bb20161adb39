// SPDX-License-Identifier: Apache-2.0
// The two macros of the project: propagate an error, or unwrap a value and
// propagate the error. Both need a function that returns absl::Status or
// absl::StatusOr. Thread-safe; no state.
#ifndef KVMLET_VMM_BASE_STATUS_MACROS_H_
#define KVMLET_VMM_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define KVMLET_RETURN_IF_ERROR(expr)               \
  do {                                             \
    ::absl::Status kvmlet_status = (expr);         \
    if (!kvmlet_status.ok()) return kvmlet_status; \
  } while (false)

#define KVMLET_CONCAT_INNER(a, b) a##b
#define KVMLET_CONCAT(a, b) KVMLET_CONCAT_INNER(a, b)
#define KVMLET_ASSIGN_OR_RETURN_IMPL(temp, lhs, expr) \
  auto temp = (expr);                                 \
  if (!temp.ok()) return std::move(temp).status();    \
  lhs = *std::move(temp)
#define KVMLET_ASSIGN_OR_RETURN(lhs, expr)                                     \
  KVMLET_ASSIGN_OR_RETURN_IMPL(KVMLET_CONCAT(kvmlet_statusor_, __LINE__), lhs, \
                               expr)

#endif  // KVMLET_VMM_BASE_STATUS_MACROS_H_
