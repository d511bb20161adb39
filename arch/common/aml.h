// SPDX-License-Identifier: Apache-2.0
// A builder of AML, the byte code of ACPI's DSDT: every function returns the
// encoding of one ASL term, and terms nest as they do in ASL. Values are
// immutable and thread-safe; a malformed name is a bug of the caller and ends
// the process, so no name may come from the user or the guest. ACPI 6.3,
// chapter 20 "ACPI Machine Language (AML) Specification".
#ifndef KVMLET_ARCH_COMMON_AML_H_
#define KVMLET_ARCH_COMMON_AML_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "arch/common/bytes.h"

namespace kvmlet::arch::aml {

// Whatever may stand in a block: a declaration, a statement or an expression.
class Term {
 public:
  explicit Term(Bytes bytes) : bytes_(std::move(bytes)) {}
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

// A term that has a value.
class Value : public Term {
 public:
  using Term::Term;
};

// A value that can be stored to, or named in Notify.
class Target : public Value {
 public:
  using Value::Value;
};

using Terms = std::vector<Term>;
using Values = std::vector<Value>;

// --- Data ------------------------------------------------------------------

// The shortest encoding of the number; the DSDT is of revision 2, so integers
// have 64 bits.
Value Int(uint64_t value);
Value Str(std::string_view ascii);
// A compressed EISA id: EisaId("PNP0A08").
Value EisaId(std::string_view id);
// The buffer that ASL's ToUUID makes of "33db4d5b-1ff7-401c-...".
Value Uuid(std::string_view uuid);
Value Buffer(std::span<const std::byte> bytes);
Value Package(const Values& elements);

// --- Names and locals --------------------------------------------------------

// A reference: "ESEL", "\\_SB.PWRB", "^CRS". Short segments are padded.
Target Ref(std::string_view path);
Target Local(uint8_t index);  // Local0..Local7
Target Arg(uint8_t index);    // Arg0..Arg6

// --- Declarations ------------------------------------------------------------

Term Name(std::string_view name, const Value& value);
Term Scope(std::string_view path, const Terms& body);
Term Device(std::string_view name, const Terms& body);

enum class Serialized : uint8_t { kNo = 0, kYes = 1 };
Term Method(std::string_view name, uint8_t arguments, Serialized serialized,
            const Terms& body);

enum class RegionSpace : uint8_t { kSystemMemory = 0, kSystemIo = 1 };
Term OperationRegion(std::string_view name, RegionSpace space, uint64_t offset,
                     uint64_t length);

enum class FieldAccess : uint8_t { kByte = 1, kWord = 2, kDWord = 3 };
struct FieldUnit {
  std::string_view name;  // empty: skips the bits
  size_t bits = 0;
};
// NoLock; bits outside the written unit are preserved.
Term Field(std::string_view region, FieldAccess access,
           const std::vector<FieldUnit>& units);
Term CreateDWordField(const Value& buffer, uint64_t byte_index,
                      std::string_view name);

// --- Expressions and statements ----------------------------------------------

Value And(const Value& left, const Value& right);
Value Or(const Value& left, const Value& right);
Value Equal(const Value& left, const Value& right);
Value NotEqual(const Value& left, const Value& right);
Term Store(const Value& value, const Target& target);
Term If(const Value& condition, const Terms& body);
// Directly after an If.
Term Else(const Terms& body);
Term Return(const Value& value);
Term Notify(const Target& object, const Value& value);

// --- Encoding ----------------------------------------------------------------

// The PkgLength (20.2.4) that stands before `payload` bytes: it counts itself.
Bytes PkgLength(size_t payload);
// The bytes of all terms, one after another.
Bytes Concatenate(const Terms& terms);

}  // namespace kvmlet::arch::aml

#endif  // KVMLET_ARCH_COMMON_AML_H_
