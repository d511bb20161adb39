// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/debug_registers.h"

#include "absl/strings/str_cat.h"

namespace kvmlet::arch::arm64 {
namespace {

using Table = std::vector<RegisterSpec>;

void AddCore(Table& table) {
  for (uint32_t i = 0; i <= 30; ++i) {
    table.push_back({.name = absl::StrCat("x", i), .where = i});
  }
  table.push_back(
      {.name = "sp", .type = "data_ptr", .home = RegisterHome::kStack});
  table.push_back(
      {.name = "pc", .type = "code_ptr", .home = RegisterHome::kPc});
  table.push_back({.name = "cpsr",
                   .bytes = 4,
                   .type = "cpsr_flags",
                   .home = RegisterHome::kPstate});
}

void AddFloatingPoint(Table& table) {
  for (uint32_t i = 0; i < 32; ++i) {
    table.push_back({.name = absl::StrCat("v", i),
                     .bytes = 16,
                     .type = "aarch64v",
                     .feature = RegisterFeature::kFpu,
                     .home = RegisterHome::kVector,
                     .where = i});
  }
  for (const auto& [name, home] : {std::pair{"fpsr", RegisterHome::kFpsr},
                                   std::pair{"fpcr", RegisterHome::kFpcr}}) {
    table.push_back({.name = name,
                     .bytes = 4,
                     .type = "int",
                     .feature = RegisterFeature::kFpu,
                     .home = home});
  }
}

constexpr uint32_t El1(uint32_t op1, uint32_t crn, uint32_t crm, uint32_t op2) {
  return 3u << 14 | op1 << 11 | crn << 7 | crm << 3 | op2;
}

void AddSystem(Table& table) {
  const auto add = [&table](const char* name, RegisterHome home,
                            uint32_t where = 0) {
    table.push_back({.name = name,
                     .feature = RegisterFeature::kSystem,
                     .home = home,
                     .where = where});
  };
  add("elr_el1", RegisterHome::kElr);
  add("spsr_el1", RegisterHome::kSpsr);
  add("sp_el0", RegisterHome::kSpEl0);
  add("sp_el1", RegisterHome::kSpEl1);
  const std::pair<const char*, uint32_t> kRegisters[] = {
      {"sctlr_el1", El1(0, 1, 0, 0)},    {"ttbr0_el1", El1(0, 2, 0, 0)},
      {"ttbr1_el1", El1(0, 2, 0, 1)},    {"tcr_el1", El1(0, 2, 0, 2)},
      {"esr_el1", El1(0, 5, 2, 0)},      {"far_el1", El1(0, 6, 0, 0)},
      {"par_el1", El1(0, 7, 4, 0)},      {"mair_el1", El1(0, 10, 2, 0)},
      {"vbar_el1", El1(0, 12, 0, 0)},    {"contextidr_el1", El1(0, 13, 0, 1)},
      {"tpidr_el1", El1(0, 13, 0, 4)},   {"tpidr_el0", El1(3, 13, 0, 2)},
      {"tpidrro_el0", El1(3, 13, 0, 3)}, {"cpacr_el1", El1(0, 1, 0, 2)},
      {"cntkctl_el1", El1(0, 14, 1, 0)}, {"midr_el1", El1(0, 0, 0, 0)},
      {"mpidr_el1", El1(0, 0, 0, 5)},    {"mdscr_el1", 2u << 14 | 2u << 3 | 2},
  };
  for (const auto& [name, where] : kRegisters) {
    add(name, RegisterHome::kSystem, where);
  }
}

// Those of data and of code are the same. gdb 14 and later take them off the
// return addresses of a backtrace; an older one shows them as registers.
void AddSignatures(Table& table) {
  const std::pair<const char*, uint32_t> kMasks[] = {{"pauth_dmask", 0},
                                                     {"pauth_cmask", 0},
                                                     {"pauth_dmask_high", 1},
                                                     {"pauth_cmask_high", 1}};
  for (const auto& [name, where] : kMasks) {
    table.push_back({.name = name,
                     .feature = RegisterFeature::kSignature,
                     .home = RegisterHome::kSignature,
                     .where = where});
  }
}

Table MakeTable() {
  Table table;
  AddCore(table);
  AddFloatingPoint(table);
  AddSystem(table);
  AddSignatures(table);
  return table;
}

struct Field {
  const char* name;
  unsigned start;
  unsigned end;
};
// C5.2, the fields of PSTATE as SPSR_EL1 has them.
constexpr Field kPstateFields[] = {
    {"SP", 0, 0},     {"EL", 2, 3},    {"nRW", 4, 4},   {"F", 6, 6},
    {"I", 7, 7},      {"A", 8, 8},     {"D", 9, 9},     {"BTYPE", 10, 11},
    {"SSBS", 12, 12}, {"IL", 20, 20},  {"SS", 21, 21},  {"PAN", 22, 22},
    {"UAO", 23, 23},  {"DIT", 24, 24}, {"TCO", 25, 25}, {"V", 28, 28},
    {"C", 29, 29},    {"Z", 30, 30},   {"N", 31, 31}};

void AppendPstate(std::string& out) {
  absl::StrAppend(&out, "<flags id=\"cpsr_flags\" size=\"4\">");
  for (const Field& field : kPstateFields) {
    absl::StrAppend(&out, "<field name=\"", field.name, "\" start=\"",
                    field.start, "\" end=\"", field.end, "\"/>");
  }
  absl::StrAppend(&out, "</flags>\n");
}

void AppendVectors(std::string& out) {
  struct View {
    const char* field;
    const char* type;
    int count;
  };
  constexpr View kViews[] = {{"d", "ieee_double", 2}, {"s", "ieee_single", 4},
                             {"u64", "uint64", 2},    {"u32", "uint32", 4},
                             {"u16", "uint16", 8},    {"u8", "uint8", 16}};
  for (const View& view : kViews) {
    absl::StrAppend(&out, "<vector id=\"v_", view.field, "\" type=\"",
                    view.type, "\" count=\"", view.count, "\"/>");
  }
  absl::StrAppend(&out, "<union id=\"aarch64v\">");
  for (const View& view : kViews) {
    absl::StrAppend(&out, "<field name=\"", view.field, "\" type=\"v_",
                    view.field, "\"/>");
  }
  absl::StrAppend(&out, "<field name=\"u128\" type=\"uint128\"/></union>\n");
}

void AppendRegisters(RegisterFeature feature, std::string& out) {
  for (size_t i = 0; i < RegisterTable().size(); ++i) {
    const RegisterSpec& spec = RegisterTable()[i];
    if (spec.feature != feature) continue;
    absl::StrAppend(&out, "<reg name=\"", spec.name, "\" bitsize=\"",
                    spec.bytes * 8, "\" type=\"", spec.type, "\" regnum=\"", i,
                    "\"");
    if (feature == RegisterFeature::kSystem ||
        feature == RegisterFeature::kSignature) {
      absl::StrAppend(&out, " group=\"system\"");
    }
    absl::StrAppend(&out, "/>\n");
  }
}

}  // namespace

std::span<const RegisterSpec> RegisterTable() {
  static const Table kTable = MakeTable();
  return kTable;
}

std::vector<DebugRegister> RegisterList() {
  std::vector<DebugRegister> list;
  for (const RegisterSpec& spec : RegisterTable()) {
    list.push_back({.name = spec.name, .size = spec.bytes});
  }
  return list;
}

std::string BuildDescription() {
  std::string out =
      "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
      "<target version=\"1.0\"><architecture>aarch64</architecture>\n"
      "<feature name=\"org.gnu.gdb.aarch64.core\">\n";
  AppendPstate(out);
  AppendRegisters(RegisterFeature::kCore, out);
  absl::StrAppend(&out,
                  "</feature>\n<feature name=\"org.gnu.gdb.aarch64.fpu\">\n");
  AppendVectors(out);
  AppendRegisters(RegisterFeature::kFpu, out);
  absl::StrAppend(&out,
                  "</feature>\n<feature name=\"org.kvmlet.arm64.system\">\n");
  AppendRegisters(RegisterFeature::kSystem, out);
  absl::StrAppend(
      &out, "</feature>\n<feature name=\"org.gnu.gdb.aarch64.pauth_v2\">\n");
  AppendRegisters(RegisterFeature::kSignature, out);
  return absl::StrCat(out, "</feature>\n</target>\n");
}

}  // namespace kvmlet::arch::arm64
