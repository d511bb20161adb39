// SPDX-License-Identifier: Apache-2.0
#include "arch/common/aml.h"

#include <glog/logging.h>

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"

namespace kvmlet::arch::aml {
namespace {

// 20.3 "AML Byte Stream Byte Values", in the order of the values.
enum Opcode : uint8_t {
  kZeroOp = 0x00,
  kOneOp = 0x01,
  kNameOp = 0x08,
  kBytePrefix = 0x0a,
  kWordPrefix = 0x0b,
  kDWordPrefix = 0x0c,
  kStringPrefix = 0x0d,
  kQWordPrefix = 0x0e,
  kScopeOp = 0x10,
  kBufferOp = 0x11,
  kPackageOp = 0x12,
  kVarPackageOp = 0x13,
  kMethodOp = 0x14,
  kDualNamePrefix = 0x2e,
  kMultiNamePrefix = 0x2f,
  kExtOpPrefix = 0x5b,
  kLocal0Op = 0x60,
  kArg0Op = 0x68,
  kStoreOp = 0x70,
  kAndOp = 0x7b,
  kOrOp = 0x7d,
  kNotifyOp = 0x86,
  kCreateDWordFieldOp = 0x8a,
  kLNotOp = 0x92,
  kLEqualOp = 0x93,
  kIfOp = 0xa0,
  kElseOp = 0xa1,
  kReturnOp = 0xa4,
};
// After kExtOpPrefix.
enum ExtOpcode : uint8_t {
  kExtRegionOp = 0x80,
  kExtFieldOp = 0x81,
  kExtDeviceOp = 0x82,
};

constexpr size_t kSegmentLength = 4;
constexpr uint8_t kNullTarget = 0x00;
constexpr uint8_t kNullName = 0x00;

void AppendSegment(Bytes& out, std::string_view segment) {
  CHECK(!segment.empty() && segment.size() <= kSegmentLength) << segment;
  CHECK(!absl::ascii_isdigit(static_cast<unsigned char>(segment[0])))
      << segment;
  for (const char c : segment) {
    const auto u = static_cast<unsigned char>(c);
    CHECK(absl::ascii_isupper(u) || absl::ascii_isdigit(u) || c == '_')
        << segment;
  }
  AppendText(out, segment);
  out.insert(out.end(), kSegmentLength - segment.size(), std::byte{'_'});
}

// 20.2.2 "Name Objects Encoding".
void AppendPath(Bytes& out, std::string_view path) {
  while (!path.empty() && (path[0] == '\\' || path[0] == '^')) {
    AppendText(out, path.substr(0, 1));
    path.remove_prefix(1);
  }
  if (path.empty()) {
    AppendByte(out, kNullName);
    return;
  }
  const auto segments =
      static_cast<size_t>(std::count(path.begin(), path.end(), '.') + 1);
  CHECK_LE(segments, 255u);
  if (segments == 2) {
    AppendByte(out, kDualNamePrefix);
  } else if (segments > 2) {
    AppendByte(out, kMultiNamePrefix);
    AppendByte(out, static_cast<uint8_t>(segments));
  }
  for (size_t left = segments; left > 0; --left) {
    const size_t end = std::min(path.find('.'), path.size());
    AppendSegment(out, path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
}

Bytes Opcodes(std::initializer_list<uint8_t> opcodes) {
  Bytes out;
  for (const uint8_t opcode : opcodes) AppendByte(out, opcode);
  return out;
}

// Opcode, PkgLength, payload.
Bytes Packaged(std::initializer_list<uint8_t> opcodes, const Bytes& payload) {
  Bytes out = Opcodes(opcodes);
  Append(out, PkgLength(payload.size()));
  Append(out, payload);
  return out;
}

Bytes Binary(std::initializer_list<uint8_t> opcodes, const Value& left,
             const Value& right) {
  Bytes out = Opcodes(opcodes);
  Append(out, left.bytes());
  Append(out, right.bytes());
  return out;
}

// 20.2.4 "Package Length Encoding": one byte holds 6 bits; of several, the
// first holds 4 bits and the number of those that follow, which hold 8 each.
constexpr size_t LengthLimit(size_t bytes) {
  return bytes == 1 ? size_t{1} << 6 : size_t{1} << (8 * bytes - 4);
}

Bytes EncodeLength(size_t length, size_t bytes) {
  CHECK_LE(bytes, 4u) << "AML package of " << length << " bytes";
  CHECK_LT(length, LengthLimit(bytes));
  if (bytes == 1) return Opcodes({static_cast<uint8_t>(length)});
  Bytes out =
      Opcodes({static_cast<uint8_t>((bytes - 1) << 6 | (length & 0xf))});
  length >>= 4;
  for (size_t left = bytes - 1; left > 0; --left, length >>= 8) {
    AppendByte(out, static_cast<uint8_t>(length & 0xff));
  }
  return out;
}

uint8_t HexDigit(char c) {
  CHECK(absl::ascii_isxdigit(static_cast<unsigned char>(c))) << c;
  if (absl::ascii_isdigit(static_cast<unsigned char>(c))) {
    return static_cast<uint8_t>(c - '0');
  }
  return static_cast<uint8_t>(
      absl::ascii_tolower(static_cast<unsigned char>(c)) - 'a' + 10);
}

template <typename T>
Value Number(uint8_t prefix, uint64_t value) {
  Bytes out = Opcodes({prefix});
  AppendObject(out, static_cast<T>(value));
  return Value(std::move(out));
}

}  // namespace

Bytes PkgLength(size_t payload) {
  size_t own = 1;
  while (payload + own >= LengthLimit(own)) ++own;
  return EncodeLength(payload + own, own);
}

Bytes Concatenate(const Terms& terms) {
  Bytes out;
  for (const Term& term : terms) Append(out, term.bytes());
  return out;
}

Value Int(uint64_t value) {
  if (value == 0) return Value(Opcodes({kZeroOp}));
  if (value == 1) return Value(Opcodes({kOneOp}));
  if (value <= 0xff) return Number<uint8_t>(kBytePrefix, value);
  if (value <= 0xffff) return Number<uint16_t>(kWordPrefix, value);
  if (value <= 0xffffffff) return Number<uint32_t>(kDWordPrefix, value);
  return Number<uint64_t>(kQWordPrefix, value);
}

Value Str(std::string_view ascii) {
  Bytes out = Opcodes({kStringPrefix});
  for (const char c : ascii) CHECK(c >= 0x01 && c <= 0x7f);
  AppendText(out, ascii);
  AppendByte(out, 0);
  return Value(std::move(out));
}

// 19.3.4 "ASL Macros", EISAID: three letters of five bits and four hexadecimal
// digits, the bytes swapped.
Value EisaId(std::string_view id) {
  CHECK_EQ(id.size(), 7u) << id;
  uint32_t value = 0;
  for (const char c : id.substr(0, 3)) {
    CHECK(absl::ascii_isupper(static_cast<unsigned char>(c))) << id;
    value = value << 5 | static_cast<uint32_t>(c - 'A' + 1);
  }
  for (const char c : id.substr(3)) value = value << 4 | HexDigit(c);
  // Always four bytes: a shorter form would be another data type for iasl.
  return Number<uint32_t>(kDWordPrefix, __builtin_bswap32(value));
}

Value Uuid(std::string_view uuid) {
  // Where each byte of the buffer stands in the text.
  static constexpr uint8_t kPositions[16] = {6,  4,  2,  0,  11, 9,  16, 14,
                                             19, 21, 24, 26, 28, 30, 32, 34};
  CHECK_EQ(uuid.size(), 36u) << uuid;
  Bytes bytes;
  for (const uint8_t at : kPositions) {
    AppendByte(bytes, static_cast<uint8_t>(HexDigit(uuid[at]) << 4 |
                                           HexDigit(uuid[at + 1u])));
  }
  return Buffer(bytes);
}

Value Buffer(std::span<const std::byte> bytes) {
  Bytes payload = Int(bytes.size()).bytes();
  Append(payload, bytes);
  return Value(Packaged({kBufferOp}, payload));
}

Value Package(const Values& elements) {
  const bool variable = elements.size() > 255;
  Bytes payload;
  if (variable) {
    payload = Int(elements.size()).bytes();
  } else {
    AppendByte(payload, static_cast<uint8_t>(elements.size()));
  }
  for (const Value& element : elements) Append(payload, element.bytes());
  return Value(Packaged({variable ? kVarPackageOp : kPackageOp}, payload));
}

Target Ref(std::string_view path) {
  Bytes out;
  AppendPath(out, path);
  return Target(std::move(out));
}

Target Local(uint8_t index) {
  CHECK_LE(index, 7);
  return Target(Opcodes({static_cast<uint8_t>(kLocal0Op + index)}));
}

Target Arg(uint8_t index) {
  CHECK_LE(index, 6);
  return Target(Opcodes({static_cast<uint8_t>(kArg0Op + index)}));
}

Term Name(std::string_view name, const Value& value) {
  Bytes out = Opcodes({kNameOp});
  AppendPath(out, name);
  Append(out, value.bytes());
  return Term(std::move(out));
}

Term Scope(std::string_view path, const Terms& body) {
  Bytes payload;
  AppendPath(payload, path);
  Append(payload, Concatenate(body));
  return Term(Packaged({kScopeOp}, payload));
}

Term Device(std::string_view name, const Terms& body) {
  Bytes payload;
  AppendPath(payload, name);
  Append(payload, Concatenate(body));
  return Term(Packaged({kExtOpPrefix, kExtDeviceOp}, payload));
}

Term Method(std::string_view name, uint8_t arguments, Serialized serialized,
            const Terms& body) {
  CHECK_LE(arguments, 7);
  Bytes payload;
  AppendPath(payload, name);
  AppendByte(payload, static_cast<uint8_t>(
                          arguments | static_cast<uint8_t>(serialized) << 3));
  Append(payload, Concatenate(body));
  return Term(Packaged({kMethodOp}, payload));
}

Term OperationRegion(std::string_view name, RegionSpace space, uint64_t offset,
                     uint64_t length) {
  Bytes out = Opcodes({kExtOpPrefix, kExtRegionOp});
  AppendPath(out, name);
  AppendByte(out, static_cast<uint8_t>(space));
  Append(out, Int(offset).bytes());
  Append(out, Int(length).bytes());
  return Term(std::move(out));
}

Term Field(std::string_view region, FieldAccess access,
           const std::vector<FieldUnit>& units) {
  Bytes payload;
  AppendPath(payload, region);
  AppendByte(payload, static_cast<uint8_t>(access));
  for (const FieldUnit& unit : units) {
    if (unit.name.empty()) {
      AppendByte(payload, kNullName);
    } else {
      AppendSegment(payload, unit.name);
    }
    // 20.2.5.2: the width is written like a PkgLength, but counts bits and
    // not itself.
    size_t own = 1;
    while (unit.bits >= LengthLimit(own)) ++own;
    Append(payload, EncodeLength(unit.bits, own));
  }
  return Term(Packaged({kExtOpPrefix, kExtFieldOp}, payload));
}

Term CreateDWordField(const Value& buffer, uint64_t byte_index,
                      std::string_view name) {
  Bytes out = Binary({kCreateDWordFieldOp}, buffer, Int(byte_index));
  AppendPath(out, name);
  return Term(std::move(out));
}

Value And(const Value& left, const Value& right) {
  Bytes out = Binary({kAndOp}, left, right);
  AppendByte(out, kNullTarget);
  return Value(std::move(out));
}

Value Or(const Value& left, const Value& right) {
  Bytes out = Binary({kOrOp}, left, right);
  AppendByte(out, kNullTarget);
  return Value(std::move(out));
}

Value Equal(const Value& left, const Value& right) {
  return Value(Binary({kLEqualOp}, left, right));
}

Value NotEqual(const Value& left, const Value& right) {
  return Value(Binary({kLNotOp, kLEqualOp}, left, right));
}

Term Store(const Value& value, const Target& target) {
  return Term(Binary({kStoreOp}, value, target));
}

Term If(const Value& condition, const Terms& body) {
  Bytes payload = condition.bytes();
  Append(payload, Concatenate(body));
  return Term(Packaged({kIfOp}, payload));
}

Term Else(const Terms& body) {
  return Term(Packaged({kElseOp}, Concatenate(body)));
}

Term Return(const Value& value) {
  Bytes out = Opcodes({kReturnOp});
  Append(out, value.bytes());
  return Term(std::move(out));
}

Term Notify(const Target& object, const Value& value) {
  return Term(Binary({kNotifyOp}, object, value));
}

}  // namespace kvmlet::arch::aml
