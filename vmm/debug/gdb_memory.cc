// SPDX-License-Identifier: Apache-2.0
// m, M, x, X, Z, z and qSearch: memory as the selected vCPU sees it, and the
// breakpoints in it.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/debug/gdb_session.h"

namespace kvmlet {
namespace {

struct Range {
  uint64_t address = 0;
  uint64_t length = 0;
};

// "ADDRESS,LENGTH"
std::optional<Range> TakeRange(RspCursor& cursor) {
  const std::optional<uint64_t> address = cursor.Hex();
  if (!address || !cursor.Skip(',')) return std::nullopt;
  const std::optional<uint64_t> length = cursor.Hex();
  if (!length) return std::nullopt;
  return Range{*address, *length};
}

// ";X" and the length and bytes of an expression, as often as there is one.
std::optional<std::vector<AgentExpression>> TakeConditions(RspCursor& cursor) {
  std::vector<AgentExpression> conditions;
  while (cursor.Skip(";X")) {
    const std::optional<uint64_t> length = cursor.Hex();
    if (!length || *length > AgentExpression::kLongest || !cursor.Skip(',')) {
      return std::nullopt;
    }
    auto code = cursor.HexBytes(*length);
    if (!code) return std::nullopt;
    conditions.emplace_back(*std::move(code));
  }
  if (!cursor.AtEnd()) return std::nullopt;
  return conditions;
}

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string GdbSession::ReadMemory(RspCursor cursor, bool binary) {
  const std::optional<Range> range = TakeRange(cursor);
  if (!range || !cursor.AtEnd()) return "E22";
  // A shorter reply is allowed; the client asks for the rest.
  const size_t room = RspReader::kMaxPayload - 1;
  const uint64_t length =
      std::min<uint64_t>(range->length, binary ? room : room / 2);
  const std::vector<std::byte> bytes =
      debugger_.ReadMemory(vcpu_, range->address, length);
  if (bytes.empty() && range->length > 0) {
    return Error("E14",
                 absl::StrFormat("cannot read memory at %#x", range->address));
  }
  if (!binary) return HexOf(bytes);
  std::string reply = "b";
  const std::string_view text = AsText(bytes);
  AppendBinary(text.substr(0, BinaryPrefix(text, room)), reply);
  return reply;
}

std::string GdbSession::WriteMemory(RspCursor cursor, bool binary) {
  const std::optional<Range> range = TakeRange(cursor);
  if (!range || !cursor.Skip(':')) return "E22";
  std::vector<std::byte> data;
  if (binary) {
    const auto bytes = std::as_bytes(std::span(cursor.rest()));
    data.assign(bytes.begin(), bytes.end());
  } else {
    auto bytes = cursor.HexBytes();
    if (!bytes) return "E22";
    data = *std::move(bytes);
  }
  // A length that is not the data's is a client in trouble.
  if (data.size() != range->length) return "E22";
  const absl::Status status =
      debugger_.WriteMemory(vcpu_, range->address, data);
  return status.ok() ? "OK" : Error("E14", std::string(status.message()));
}

std::string GdbSession::ChangeBreakpoint(RspCursor cursor, bool insert) {
  const std::optional<uint64_t> type = cursor.Hex();
  if (!type || !cursor.Skip(',')) return "E22";
  const std::optional<Range> range = TakeRange(cursor);
  if (!range) return "E22";
  // The empty reply says that there is no such type of breakpoint.
  if (*type > static_cast<uint64_t>(BreakpointType::kAccess)) return "";
  const BreakpointKey key{.type = static_cast<BreakpointType>(*type),
                          .address = range->address,
                          .length = range->length};
  if (!insert) {
    debugger_.breakpoints().Remove(key);
    return "OK";
  }
  auto conditions = TakeConditions(cursor);
  if (!conditions) return "E22";
  const absl::Status status =
      debugger_.InsertBreakpoint(vcpu_, key, *std::move(conditions));
  if (status.ok()) return "OK";
  if (absl::IsUnimplemented(status)) return "";
  return ErrorOf(status);
}

// search:memory:ADDRESS;LENGTH;PATTERN
std::string GdbSession::SearchMemory(RspCursor cursor) {
  constexpr uint64_t kMost = 64 << 20;
  constexpr uint64_t kChunk = 64 << 10;
  const std::optional<uint64_t> address = cursor.Hex();
  if (!address || !cursor.Skip(';')) return "E22";
  const std::optional<uint64_t> length = cursor.Hex();
  if (!length || !cursor.Skip(';') || cursor.AtEnd()) return "E22";
  const std::string pattern(cursor.rest());
  const uint64_t end = std::min(*length, kMost);
  std::string window;
  for (uint64_t done = 0; done < end;) {
    const auto bytes = debugger_.ReadMemory(vcpu_, *address + done,
                                            std::min(kChunk, end - done));
    if (bytes.empty()) return Error("E14", "cannot read memory");
    window.append(AsText(bytes));
    done += bytes.size();
    const size_t at = window.find(pattern);
    if (at != window.npos) {
      const uint64_t found = *address + done - window.size() + at;
      return absl::StrFormat("1,%x", found);
    }
    // What may be the start of a match stays.
    const size_t keep = std::min(window.size(), pattern.size() - 1);
    window.erase(0, window.size() - keep);
  }
  return "0";
}

}  // namespace kvmlet
