// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/agent_expression.h"

#include <bit>

#include "absl/status/status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

// "Bytecode Descriptions".
enum class Op : uint8_t {
  kAdd = 0x02,
  kSub = 0x03,
  kMul = 0x04,
  kDivSigned = 0x05,
  kDivUnsigned = 0x06,
  kRemSigned = 0x07,
  kRemUnsigned = 0x08,
  kShiftLeft = 0x09,
  kShiftRightSigned = 0x0a,
  kShiftRightUnsigned = 0x0b,
  kLogNot = 0x0e,
  kBitAnd = 0x0f,
  kBitOr = 0x10,
  kBitXor = 0x11,
  kBitNot = 0x12,
  kEqual = 0x13,
  kLessSigned = 0x14,
  kLessUnsigned = 0x15,
  kExtend = 0x16,
  kRef8 = 0x17,
  kRef16 = 0x18,
  kRef32 = 0x19,
  kRef64 = 0x1a,
  kIfGoto = 0x20,
  kGoto = 0x21,
  kConst8 = 0x22,
  kConst16 = 0x23,
  kConst32 = 0x24,
  kConst64 = 0x25,
  kRegister = 0x26,
  kEnd = 0x27,
  kDup = 0x28,
  kPop = 0x29,
  kZeroExtend = 0x2a,
  kSwap = 0x2b,
  kPick = 0x32,
  kRotate = 0x33,
};

int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }
uint64_t Unsigned(int64_t value) { return static_cast<uint64_t>(value); }

// The low `bits`, 1 to 64, of the value, extended.
uint64_t Extended(uint64_t value, unsigned bits, bool with_sign) {
  const unsigned unused = 64 - bits;
  const uint64_t high = value << unused;
  return with_sign ? Unsigned(Signed(high) >> unused) : high >> unused;
}

std::optional<uint64_t> Divide(Op op, uint64_t a, uint64_t b) {
  if (b == 0) return std::nullopt;
  // The one quotient that does not fit.
  const bool wraps = Signed(b) == -1;
  switch (op) {
    case Op::kDivSigned:
      return wraps ? 0 - a : Unsigned(Signed(a) / Signed(b));
    case Op::kRemSigned:
      return wraps ? 0 : Unsigned(Signed(a) % Signed(b));
    case Op::kDivUnsigned:
      return a / b;
    default:
      return a % b;
  }
}

std::optional<uint64_t> Shift(Op op, uint64_t a, uint64_t b) {
  const bool far = b > 63;
  switch (op) {
    case Op::kShiftLeft:
      return far ? 0 : a << b;
    case Op::kShiftRightUnsigned:
      return far ? 0 : a >> b;
    default:
      return Unsigned(Signed(a) >> (far ? 63 : b));
  }
}

// Of the two topmost values; nullopt when the operation is none of these, or
// has no result.
std::optional<uint64_t> Binary(Op op, uint64_t a, uint64_t b) {
  switch (op) {
    case Op::kAdd:
      return a + b;
    case Op::kSub:
      return a - b;
    case Op::kMul:
      return a * b;
    case Op::kBitAnd:
      return a & b;
    case Op::kBitOr:
      return a | b;
    case Op::kBitXor:
      return a ^ b;
    case Op::kEqual:
      return a == b ? 1 : 0;
    case Op::kLessSigned:
      return Signed(a) < Signed(b) ? 1 : 0;
    case Op::kLessUnsigned:
      return a < b ? 1 : 0;
    case Op::kShiftLeft:
    case Op::kShiftRightSigned:
    case Op::kShiftRightUnsigned:
      return Shift(op, a, b);
    case Op::kDivSigned:
    case Op::kDivUnsigned:
    case Op::kRemSigned:
    case Op::kRemUnsigned:
      return Divide(op, a, b);
    default:
      return std::nullopt;
  }
}

absl::Status Broken(const char* why) { return absl::InvalidArgumentError(why); }

// One evaluation.
class Run {
 public:
  Run(std::span<const std::byte> code, const AgentExpression::Context& context)
      : code_(code), context_(context) {}

  absl::StatusOr<uint64_t> ToTheEnd() {
    for (size_t i = 0; i < AgentExpression::kMostSteps; ++i) {
      if (at_ >= code_.size()) return Broken("it runs out of its code");
      const auto op = static_cast<Op>(code_[at_++]);
      if (op == Op::kEnd) {
        if (stack_.empty()) return Broken("it ends without a value");
        return stack_.back();
      }
      KVMLET_RETURN_IF_ERROR(Step(op));
      if (stack_.size() > AgentExpression::kDeepest) {
        return Broken("its stack is too deep");
      }
    }
    return Broken("it does not end");
  }

 private:
  absl::Status Step(Op op);
  absl::Status StepConstant(Op op);
  absl::Status StepStack(Op op);
  absl::Status StepJump(Op op);
  absl::Status StepReference(uint64_t bytes);
  absl::Status StepExtend(bool with_sign);
  absl::Status StepOperator(Op op);

  // The next bytes of the code, big-endian.
  std::optional<uint64_t> Operand(size_t bytes) {
    if (bytes > code_.size() - at_) return std::nullopt;
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) {
      value = value << 8 | static_cast<uint64_t>(code_[at_++]);
    }
    return value;
  }
  bool Has(size_t values) const { return stack_.size() >= values; }
  uint64_t Pop() {
    const uint64_t value = stack_.back();
    stack_.pop_back();
    return value;
  }

  const std::span<const std::byte> code_;
  const AgentExpression::Context& context_;
  size_t at_ = 0;
  std::vector<uint64_t> stack_;
};

absl::Status Run::Step(Op op) {
  switch (op) {
    case Op::kConst8:
    case Op::kConst16:
    case Op::kConst32:
    case Op::kConst64:
    case Op::kRegister:
      return StepConstant(op);
    case Op::kDup:
    case Op::kPop:
    case Op::kSwap:
    case Op::kPick:
    case Op::kRotate:
      return StepStack(op);
    case Op::kIfGoto:
    case Op::kGoto:
      return StepJump(op);
    case Op::kRef8:
      return StepReference(1);
    case Op::kRef16:
      return StepReference(2);
    case Op::kRef32:
      return StepReference(4);
    case Op::kRef64:
      return StepReference(8);
    case Op::kExtend:
      return StepExtend(/*with_sign=*/true);
    case Op::kZeroExtend:
      return StepExtend(/*with_sign=*/false);
    default:
      return StepOperator(op);
  }
}

absl::Status Run::StepConstant(Op op) {
  size_t bytes = 2;
  if (op == Op::kConst8) bytes = 1;
  if (op == Op::kConst32) bytes = 4;
  if (op == Op::kConst64) bytes = 8;
  std::optional<uint64_t> value = Operand(bytes);
  if (!value) return Broken("an operand is missing");
  if (op == Op::kRegister) {
    value = context_.register_value(*value);
    if (!value) return Broken("a register cannot be read");
  }
  stack_.push_back(*value);
  return absl::OkStatus();
}

absl::Status Run::StepStack(Op op) {
  size_t depth = op == Op::kSwap ? 2 : op == Op::kRotate ? 3 : 1;
  if (op == Op::kPick) {
    const std::optional<uint64_t> index = Operand(1);
    if (!index) return Broken("an operand is missing");
    depth = *index + 1;
  }
  if (!Has(depth)) return Broken("its stack is too small");
  const auto top = stack_.end();
  switch (op) {
    case Op::kPop:
      stack_.pop_back();
      break;
    case Op::kSwap:
      std::swap(top[-1], top[-2]);
      break;
    case Op::kRotate: {  // a b c: c a b
      const uint64_t last = Pop();
      stack_.insert(stack_.end() - 2, last);
      break;
    }
    default:
      stack_.push_back(stack_[stack_.size() - depth]);
      break;
  }
  return absl::OkStatus();
}

absl::Status Run::StepJump(Op op) {
  const std::optional<uint64_t> target = Operand(2);
  if (!target) return Broken("an operand is missing");
  if (op == Op::kIfGoto) {
    if (!Has(1)) return Broken("its stack is too small");
    if (Pop() == 0) return absl::OkStatus();
  }
  at_ = *target;
  return absl::OkStatus();
}

absl::Status Run::StepReference(uint64_t bytes) {
  if (!Has(1)) return Broken("its stack is too small");
  uint64_t value = 0;
  static_assert(std::endian::native == std::endian::little);
  const auto out = std::as_writable_bytes(std::span(&value, 1)).first(bytes);
  if (!context_.read(Pop(), out)) return Broken("memory cannot be read");
  stack_.push_back(value);
  return absl::OkStatus();
}

absl::Status Run::StepExtend(bool with_sign) {
  const std::optional<uint64_t> bits = Operand(1);
  if (!bits) return Broken("an operand is missing");
  if (!Has(1)) return Broken("its stack is too small");
  if (*bits == 0 || *bits > 64) return absl::OkStatus();
  stack_.back() =
      Extended(stack_.back(), static_cast<unsigned>(*bits), with_sign);
  return absl::OkStatus();
}

absl::Status Run::StepOperator(Op op) {
  if (op == Op::kLogNot || op == Op::kBitNot) {
    if (!Has(1)) return Broken("its stack is too small");
    const uint64_t value = stack_.back();
    stack_.back() = op == Op::kBitNot ? ~value : value == 0 ? 1 : 0;
    return absl::OkStatus();
  }
  if (!Has(2)) return Broken("its stack is too small");
  const uint64_t b = Pop();
  const std::optional<uint64_t> result = Binary(op, stack_.back(), b);
  if (!result) return Broken("it has an operation without a result");
  stack_.back() = *result;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint64_t> AgentExpression::Evaluate(
    const Context& context) const {
  return Run(code_, context).ToTheEnd();
}

}  // namespace kvmlet
