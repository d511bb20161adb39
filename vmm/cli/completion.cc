// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/completion.h"

#include <string_view>

#include "vmm/cli/commands.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {
namespace {

// What the script knows of each flag and key, as the cases of _kvmlet_about.
std::string Cases(const CommandSpec& command) {
  std::string cases;
  for (const FlagSpec& flag : command.flags) {
    if (flag.type == FlagType::kBool) continue;
    const std::string name = Cat({command.name, " --", flag.name});
    std::string keys;
    for (const KeySpec& key : flag.keys) {
      keys += Cat(
          {keys.empty() ? "" : " ", key.name, key.value.empty() ? "" : "="});
      if (key.words.empty()) continue;
      cases += Cat({"    '", name, " ", key.name, "') _kvmlet_words='",
                    key.words, "' ;;\n"});
    }
    // Without a value that leads, the keys come first.
    const std::string_view words = flag.leading_key.empty() && !keys.empty()
                                       ? std::string_view(keys)
                                       : flag.words;
    cases += Cat({"    '", name, "') _kvmlet_words='", words,
                  "' _kvmlet_keys='", keys, "' _kvmlet_takes=",
                  flag.type == FlagType::kValue ? "1" : "0", " ;;\n"});
  }
  return cases;
}

std::string CommandNames() {
  std::string names;
  for (const CommandSpec& command : Commands()) {
    names += Cat({names.empty() ? "" : " ", command.name});
  }
  return names;
}

// '<command>') the flags and the operands it takes.
std::string CommandCases() {
  std::string cases;
  for (const CommandSpec& command : Commands()) {
    std::string flags = "--help";
    for (const FlagSpec& flag : command.flags) {
      flags += Cat({" --", flag.name});
      if (flag.type == FlagType::kBool) flags += Cat({" --no", flag.name});
    }
    cases += Cat({"    ", command.name, ") _kvmlet_flags='", flags,
                  "' _kvmlet_words='", command.words, "' ;;\n"});
  }
  return cases;
}

constexpr std::string_view kLookup = R"bash(
# The words of the command line up to the cursor. bash splits them at '=' and
# ':' too, if COMP_WORDBREAKS says so; here they are whole again.
_kvmlet_split() {
  local i word glue=0
  _kvmlet_line=()
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((${#_kvmlet_line[@]} > 0)) && [[ $glue == 1 || $word == [=:]* ]]; then
      _kvmlet_line[-1]+=$word
    else
      _kvmlet_line+=("$word")
    fi
    glue=0
    [[ $word == *[=:] && $word != *[!=:]* ]] && glue=1
  done
}

# Offers what begins with $2; $1 stands before it and is not to be completed.
# The rest of the arguments are the words, "@file" for the names of files.
_kvmlet_offer() {
  local stem=$1 typed=$2 word name strip offer
  shift 2
  # readline replaces only what follows the last '=' or ':' of the word.
  strip=${stem##*[=:]}
  [[ $COMP_WORDBREAKS == *[=:]* ]] || strip=$stem
  for word; do
    if [[ $word == @file ]]; then
      while IFS= read -r name; do
        [[ -d $name ]] && name+=/
        COMPREPLY+=("$strip$name")
      done < <(compgen -f -- "$typed")
    elif [[ $word == *: && $typed == "$word"* ]]; then
      _kvmlet_offer "$stem$word" "${typed#"$word"}" @file
    elif [[ $word == "$typed"* ]]; then
      COMPREPLY+=("$strip$word")
    fi
  done
  for offer in "${COMPREPLY[@]}"; do
    [[ $offer == *[=:/] ]] && compopt -o nospace 2>/dev/null
  done
}

# The value $3 of the flag $2 of the command $1; $4 stands before the value.
_kvmlet_value() {
  local done=${3%"${3##*,}"} last=${3##*,} key keys=()
  _kvmlet_about "$1 $2" || return
  if [[ $last == *=* && -n $_kvmlet_keys ]]; then
    _kvmlet_about "$1 $2 ${last%%=*}" &&
      _kvmlet_offer "$4$done${last%%=*}=" "${last#*=}" $_kvmlet_words
  elif [[ -z $done ]]; then
    _kvmlet_offer "$4" "$last" $_kvmlet_words
  else
    for key in $_kvmlet_keys; do
      [[ ,$done =~ ,"${key%=}"[=,] ]] || keys+=("$key")
    done
    _kvmlet_offer "$4$done" "$last" "${keys[@]}"
  fi
}

_kvmlet() {
  local _kvmlet_line _kvmlet_words _kvmlet_keys _kvmlet_takes _kvmlet_flags
  local command current before
  COMPREPLY=()
  _kvmlet_split
  command=${_kvmlet_line[0]}
  current=${_kvmlet_line[-1]}
  if ((${#_kvmlet_line[@]} == 1)); then
    _kvmlet_offer '' "$current" $_kvmlet_commands --help --version
    return
  fi
  before=${_kvmlet_line[-2]}
  if [[ $current == --*=* ]]; then
    _kvmlet_value "$command" "${current%%=*}" "${current#*=}" "${current%%=*}="
    return
  fi
  if [[ $before == --* ]] && _kvmlet_about "$command $before" &&
     [[ $_kvmlet_takes == 1 || $current != -* ]]; then
    _kvmlet_value "$command" "$before" "$current" ''
    [[ $_kvmlet_takes == 1 || -n $current ]] && return
  fi
  _kvmlet_command "$command" || return
  if [[ $current == -* || -z $_kvmlet_words ]]; then
    _kvmlet_offer '' "$current" $_kvmlet_flags
  else
    _kvmlet_offer '' "$current" $_kvmlet_words
  fi
}

complete -F _kvmlet kvmlet
)bash";

}  // namespace

std::string BashCompletion() {
  std::string script =
      Cat({"# bash completion for kvmlet\n\n"
           "_kvmlet_commands='",
           CommandNames(), "'\n\n"});
  script +=
      "# The flags and operands of a command.\n"
      "_kvmlet_command() {\n  _kvmlet_flags= _kvmlet_words=\n"
      "  case $1 in\n";
  script += CommandCases();
  script +=
      "    *) return 1 ;;\n  esac\n}\n\n"
      "# What a flag, or a key of its value, takes.\n"
      "_kvmlet_about() {\n"
      "  _kvmlet_words= _kvmlet_keys= _kvmlet_takes=\n"
      "  case $1 in\n";
  for (const CommandSpec& command : Commands()) script += Cases(command);
  script += "    *) return 1 ;;\n  esac\n}\n";
  return script + std::string(kLookup);
}

}  // namespace kvmlet::cli
