// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/prometheus.h"

#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvmlet {
namespace {

// Samples of one name stand together, below one TYPE line.
struct Family {
  const char* type = "gauge";
  std::string samples;
};

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

// What a metric's name may hold; anything else becomes an underscore.
std::string Name(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c >= '0' && c <= '9') || c == '_';
    if (!ok) c = '_';
  }
  return out;
}

double Scale(const StatInfo& info) {
  return std::pow(static_cast<double>(info.base), info.exponent);
}

// Whole numbers keep all their digits.
std::string Number(uint64_t raw, const StatInfo& info) {
  if (info.exponent == 0) return absl::StrCat(raw);
  return absl::StrFormat("%.15g", static_cast<double>(raw) * Scale(info));
}

// The largest value that a bucket counts; the last has no end.
std::string BucketEnd(const StatInfo& info, size_t bucket, size_t count) {
  if (bucket + 1 >= count) return "+Inf";
  if (info.type == StatType::kLinearHistogram) {
    const uint64_t next = uint64_t{info.bucket_size} * (bucket + 1);
    return Number(next == 0 ? 0 : next - 1, info);
  }
  if (bucket >= 64) return "+Inf";
  return Number((uint64_t{1} << bucket) - 1, info);
}

class Writer {
 public:
  explicit Writer(std::string_view vm_name)
      : vm_label_(vm_name.empty()
                      ? ""
                      : absl::StrCat("vm=\"", Escaped(vm_name), "\"")) {}

  void Add(const StatsGroup& group, const Stat& stat) {
    std::string labels = vm_label_;
    if (group.target == StatsTarget::kVcpu) {
      Append(labels, absl::StrCat("vcpu=\"", group.vcpu, "\""));
    }
    std::string name = OfExits(group);
    if (name.empty()) {
      name = FamilyName(group, stat.info);
    } else {
      Append(labels, absl::StrCat("reason=\"", Escaped(stat.info.name), "\""));
    }
    Family& family = families_[name];
    if (stat.info.is_histogram()) {
      family.type = "histogram";
      Histogram(family, name, labels, stat);
      return;
    }
    if (stat.info.type == StatType::kCumulative) family.type = "counter";
    Sample(family, name, labels, Number(stat.values[0], stat.info));
  }

  std::string Text() const {
    std::string text;
    for (const auto& [name, family] : families_) {
      absl::StrAppend(&text, "# TYPE ", name, " ", family.type, "\n",
                      family.samples);
    }
    return text;
  }

 private:
  static void Append(std::string& labels, const std::string& label) {
    absl::StrAppend(&labels, labels.empty() ? "" : ",", label);
  }
  static void Sample(Family& family, const std::string& name,
                     const std::string& labels, const std::string& value) {
    absl::StrAppend(&family.samples, name);
    if (!labels.empty()) absl::StrAppend(&family.samples, "{", labels, "}");
    absl::StrAppend(&family.samples, " ", value, "\n");
  }
  // The family whose samples are told apart by their reason; else empty.
  static const char* OfExits(const StatsGroup& group) {
    if (group.provider == kExitsProvider) {
      return "kvmlet_vcpu_userspace_exits_total";
    }
    if (group.provider == kExitMonitorProvider) {
      return "kvmlet_vcpu_userspace_exit_seconds_total";
    }
    if (group.provider == kExitGuestProvider) {
      return "kvmlet_vcpu_guest_seconds_total";
    }
    return "";
  }
  static std::string FamilyName(const StatsGroup& group, const StatInfo& info) {
    std::string stem = Name(info.name);
    if (info.unit == StatUnit::kSeconds) {
      for (const std::string_view unit : {"_ns", "_us", "_ms"}) {
        if (stem.ends_with(unit)) stem.resize(stem.size() - unit.size());
      }
      stem += "_seconds";
    }
    if (info.unit == StatUnit::kBytes && !stem.ends_with("_bytes")) {
      stem += "_bytes";
    }
    return absl::StrCat("kvmlet_", Name(group.provider),
                        group.target == StatsTarget::kVm ? "_vm_" : "_vcpu_",
                        stem,
                        info.type == StatType::kCumulative ? "_total" : "");
  }
  static void Histogram(Family& family, const std::string& name,
                        const std::string& labels, const Stat& stat) {
    uint64_t sum = 0;
    for (size_t i = 0; i < stat.values.size(); ++i) {
      sum += stat.values[i];
      const std::string end = BucketEnd(stat.info, i, stat.values.size());
      if (end == "+Inf" && i + 1 < stat.values.size()) continue;
      std::string bucket = labels;
      Append(bucket, absl::StrCat("le=\"", end, "\""));
      Sample(family, name + "_bucket", bucket, absl::StrCat(sum));
    }
    Sample(family, name + "_count", labels, absl::StrCat(sum));
  }

  const std::string vm_label_;
  std::map<std::string, Family> families_;
};

}  // namespace

std::string PrometheusText(std::string_view vm_name,
                           std::span<const StatsGroup> groups) {
  Writer writer(vm_name);
  for (const StatsGroup& group : groups) {
    for (const Stat& stat : group.stats) writer.Add(group, stat);
  }
  return writer.Text();
}

}  // namespace kvmlet
