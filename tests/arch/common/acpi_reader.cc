// SPDX-License-Identifier: Apache-2.0
#include "tests/arch/common/acpi_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {
namespace {

absl::Status Malformed(std::string_view what) {
  return absl::DataLossError(std::string(what));
}

class Area {
 public:
  Area(std::span<const std::byte> bytes, uint64_t base)
      : bytes_(bytes), base_(base) {}

  absl::StatusOr<Bytes> Table(uint64_t address) const {
    if (address < base_ || address % 16 != 0 ||
        address - base_ > bytes_.size() - 36) {
      return Malformed(absl::StrCat("no table at ", absl::Hex(address)));
    }
    const auto from = bytes_.subspan(address - base_);
    const auto length = LoadAt<uint32_t>(from, 4);
    if (length < 36 || length > from.size()) {
      return Malformed(absl::StrCat("length ", length));
    }
    const auto table = from.first(length);
    if (Sum(table) != 0) {
      return Malformed(absl::StrCat("checksum at ", absl::Hex(address)));
    }
    return Bytes(table.begin(), table.end());
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t base_;
};

std::string Text(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte byte : bytes) out += static_cast<char>(byte);
  return out;
}

// The value of a PkgLength, and how many bytes it takes.
struct Length {
  size_t value = 0;
  size_t own = 0;
};
Length ReadLength(std::span<const std::byte> bytes) {
  const auto lead = LoadAt<uint8_t>(bytes, 0);
  const size_t more = lead >> 6;
  Length length{.value = more == 0 ? lead & 0x3fu : lead & 0xfu,
                .own = more + 1};
  for (size_t i = 0; i < more; ++i) {
    length.value |= size_t{LoadAt<uint8_t>(bytes, 1 + i)} << (4 + 8 * i);
  }
  return length;
}

template <typename T>
ReadResource ReadAddressSpace(std::span<const std::byte> item) {
  static constexpr ReadResource::Kind kKinds[] = {
      ReadResource::kMemory, ReadResource::kIo, ReadResource::kBus};
  return {.kind = kKinds[LoadAt<uint8_t>(item, 3) % 3],
          .window = (LoadAt<uint8_t>(item, 4) & 1) == 0,
          .base = LoadAt<T>(item, 6 + sizeof(T)),
          .size = LoadAt<T>(item, 6 + 4 * sizeof(T))};
}

}  // namespace

uint8_t Sum(std::span<const std::byte> bytes) {
  unsigned sum = 0;
  for (const std::byte byte : bytes) sum += static_cast<unsigned>(byte);
  return static_cast<uint8_t>(sum & 0xff);
}

absl::StatusOr<std::map<std::string, Bytes>> ReadAcpi(
    std::span<const std::byte> bytes, uint64_t base) {
  const auto rsdp = bytes.first(36);
  if (Sum(rsdp.first(20)) != 0 || Sum(rsdp) != 0) {
    return Malformed("RSDP checksum");
  }
  std::map<std::string, Bytes> tables;
  tables[Text(rsdp.first(8))] = Bytes(rsdp.begin(), rsdp.end());
  const Area area(bytes, base);
  KVMLET_ASSIGN_OR_RETURN(const Bytes xsdt,
                          area.Table(LoadAt<uint64_t>(rsdp, 24)));
  tables[Text(std::span(xsdt).first(4))] = xsdt;
  for (size_t at = 36; at + 8 <= xsdt.size(); at += 8) {
    KVMLET_ASSIGN_OR_RETURN(const Bytes table,
                            area.Table(LoadAt<uint64_t>(xsdt, at)));
    tables[Text(std::span(table).first(4))] = table;
  }
  if (!tables.contains("FACP")) return Malformed("no FADT");
  KVMLET_ASSIGN_OR_RETURN(tables["DSDT"],
                          area.Table(LoadAt<uint64_t>(tables["FACP"], 140)));
  return tables;
}

std::vector<Subtable> ReadSubtables(const Bytes& table, size_t offset) {
  std::vector<Subtable> out;
  while (offset + 2 <= table.size()) {
    const auto length = LoadAt<uint8_t>(table, offset + 1);
    if (length < 2 || length > table.size() - offset) break;
    const auto part = std::span(table).subspan(offset, length);
    out.push_back({LoadAt<uint8_t>(part, 0), Bytes(part.begin(), part.end())});
    offset += length;
  }
  return out;
}

absl::StatusOr<std::vector<ReadResource>> ReadResources(
    std::span<const std::byte> bytes) {
  std::vector<ReadResource> out;
  while (!bytes.empty()) {
    const auto tag = LoadAt<uint8_t>(bytes, 0);
    if (tag == 0x79) return out;
    const size_t size =
        (tag & 0x80) != 0 ? 3u + LoadAt<uint16_t>(bytes, 1) : 1u + (tag & 7u);
    if (size > bytes.size()) return Malformed("descriptor beyond the template");
    const auto item = bytes.first(size);
    bytes = bytes.subspan(size);
    switch (tag) {
      case 0x47:
        out.push_back({.kind = ReadResource::kIo,
                       .base = LoadAt<uint16_t>(item, 2),
                       .size = LoadAt<uint8_t>(item, 7)});
        break;
      case 0x86:
        out.push_back({.base = LoadAt<uint32_t>(item, 4),
                       .size = LoadAt<uint32_t>(item, 8)});
        break;
      case 0x87:
        out.push_back(ReadAddressSpace<uint32_t>(item));
        break;
      case 0x88:
        out.push_back(ReadAddressSpace<uint16_t>(item));
        break;
      case 0x89:
        out.push_back({.kind = ReadResource::kInterrupt,
                       .base = LoadAt<uint32_t>(item, 5),
                       .flags = LoadAt<uint8_t>(item, 3)});
        break;
      case 0x8a:
        out.push_back(ReadAddressSpace<uint64_t>(item));
        break;
      default:
        return Malformed(absl::StrCat("descriptor ", tag));
    }
  }
  return Malformed("no end tag");
}

absl::StatusOr<std::vector<ReadResource>> ReadCrs(const Bytes& dsdt,
                                                  std::string_view device) {
  const std::string text = Text(dsdt);
  size_t at = std::string::npos;
  // A device is declared by its name after DeviceOp and a length.
  for (size_t op = text.find("\x5b\x82"); op != std::string::npos;
       op = text.find("\x5b\x82", op + 1)) {
    const size_t name =
        op + 2 + ReadLength(std::span(dsdt).subspan(op + 2)).own;
    if (text.compare(name, device.size(), device) == 0) at = name;
  }
  if (at == std::string::npos) return Malformed("no such device");
  const std::string_view name_op("\x08_CRS\x11", 6);
  at = text.find(name_op, at);
  if (at == std::string::npos) return Malformed("no _CRS");
  const auto buffer = std::span(dsdt).subspan(at + name_op.size());
  const Length length = ReadLength(buffer);
  auto body = buffer.first(length.value).subspan(length.own);
  // The buffer's own size: a byte or a word after its prefix.
  body = body.subspan(LoadAt<uint8_t>(body, 0) == 0x0a ? 2 : 3);
  return ReadResources(body);
}

}  // namespace kvmlet::arch
