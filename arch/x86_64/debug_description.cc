// SPDX-License-Identifier: Apache-2.0
// gdb's target description: always the 64-bit machine, because gdb cannot
// change the size of registers while it is connected; a vCPU in another mode
// says so in its thread's description.
#include <string>

#include "absl/strings/str_cat.h"
#include "arch/x86_64/debug.h"
#include "arch/x86_64/debug_registers.h"

namespace kvmlet::arch::x86_64 {
namespace {

struct Flag {
  const char* name;
  unsigned bit;
};
constexpr Flag kEflags[] = {{"CF", 0},  {"PF", 2},   {"AF", 4},   {"ZF", 6},
                            {"SF", 7},  {"TF", 8},   {"IF", 9},   {"DF", 10},
                            {"OF", 11}, {"NT", 14},  {"RF", 16},  {"VM", 17},
                            {"AC", 18}, {"VIF", 19}, {"VIP", 20}, {"ID", 21}};
constexpr Flag kMxcsrFlags[] = {{"IE", 0},  {"DE", 1}, {"ZE", 2},  {"OE", 3},
                                {"UE", 4},  {"PE", 5}, {"DAZ", 6}, {"IM", 7},
                                {"DM", 8},  {"ZM", 9}, {"OM", 10}, {"UM", 11},
                                {"PM", 12}, {"FZ", 15}};

void AppendFlags(const char* id, std::span<const Flag> flags,
                 std::string& out) {
  absl::StrAppend(&out, "<flags id=\"", id, "\" size=\"4\">");
  for (const Flag& flag : flags) {
    absl::StrAppend(&out, "<field name=\"", flag.name, "\" start=\"", flag.bit,
                    "\" end=\"", flag.bit, "\"/>");
  }
  absl::StrAppend(&out, "</flags>");
}

void AppendVectors(std::string& out) {
  struct View {
    const char* id;
    const char* type;
    int count;
    const char* field;
  };
  constexpr View kViews[] = {{"v4f", "ieee_single", 4, "v4_float"},
                             {"v2d", "ieee_double", 2, "v2_double"},
                             {"v16i8", "int8", 16, "v16_int8"},
                             {"v8i16", "int16", 8, "v8_int16"},
                             {"v4i32", "int32", 4, "v4_int32"},
                             {"v2i64", "int64", 2, "v2_int64"}};
  for (const View& view : kViews) {
    absl::StrAppend(&out, "<vector id=\"", view.id, "\" type=\"", view.type,
                    "\" count=\"", view.count, "\"/>");
  }
  absl::StrAppend(&out, "<union id=\"vec128\">");
  for (const View& view : kViews) {
    absl::StrAppend(&out, "<field name=\"", view.field, "\" type=\"", view.id,
                    "\"/>");
  }
  absl::StrAppend(&out, "<field name=\"uint128\" type=\"uint128\"/></union>");
}

struct FeatureName {
  RegisterFeature feature;
  const char* name;
};
constexpr FeatureName kFeatures[] = {
    {RegisterFeature::kCore, "org.gnu.gdb.i386.core"},
    {RegisterFeature::kSse, "org.gnu.gdb.i386.sse"},
    {RegisterFeature::kSegments, "org.gnu.gdb.i386.segments"},
    {RegisterFeature::kAvx, "org.gnu.gdb.i386.avx"},
    {RegisterFeature::kSystem, "org.kvmlet.x86.system"},
};

void AppendRegisters(RegisterFeature feature, std::string& out) {
  for (size_t i = 0; i < RegisterTable().size(); ++i) {
    const RegisterSpec& spec = RegisterTable()[i];
    if (spec.feature != feature) continue;
    absl::StrAppend(&out, "<reg name=\"", spec.name, "\" bitsize=\"",
                    spec.bytes * 8, "\" type=\"", spec.type, "\" regnum=\"", i,
                    "\"");
    if (spec.home == RegisterHome::kX87State) {
      absl::StrAppend(&out, " group=\"float\"");
    }
    if (feature == RegisterFeature::kSystem) {
      absl::StrAppend(&out, " group=\"system\"");
    }
    absl::StrAppend(&out, "/>\n");
  }
}

}  // namespace

std::string BuildDescription() {
  std::string out =
      "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
      "<target version=\"1.0\"><architecture>i386:x86-64</architecture>\n";
  for (const FeatureName& feature : kFeatures) {
    absl::StrAppend(&out, "<feature name=\"", feature.name, "\">\n");
    if (feature.feature == RegisterFeature::kCore) {
      AppendFlags("i386_eflags", kEflags, out);
    }
    if (feature.feature == RegisterFeature::kSse) {
      AppendVectors(out);
      AppendFlags("i386_mxcsr", kMxcsrFlags, out);
    }
    AppendRegisters(feature.feature, out);
    absl::StrAppend(&out, "</feature>\n");
  }
  return absl::StrCat(out, "</target>\n");
}

}  // namespace kvmlet::arch::x86_64
