#include "router/api/json_schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/generation.h"

namespace cortensor::router {
namespace {

constexpr int kMaxSchemaDepth = 64;
constexpr std::int64_t kMaxLength = 10000;

// Rules that every grammar may use. White space is bounded, as are digits: what goes on for ever, a model
// may.
constexpr const char* kCommon = R"G(
space ::= " "? | "\n" [ ]{0,16}
string ::= "\"" char* "\""
char ::= [^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2}))
hex ::= [0-9a-fA-F]
integer ::= "-"? ("0" | [1-9] [0-9]{0,15})
number ::= integer ("." [0-9]{1,16})? ([eE] [+\-]? [0-9]{1,2})?
boolean ::= "true" | "false"
null ::= "null"
value ::= object | array | string | number | boolean | null
object ::= "{" space (member ("," space member)*)? "}"
member ::= string space ":" space value space
array ::= "[" space (value space ("," space value space)*)? "]"
)G";

// Keywords that speak of one type only.
const std::map<std::string, std::vector<const char*>> kKeywords = {
    {"object", {"properties", "required", "additionalProperties"}},
    {"array", {"items", "minItems", "maxItems"}},
    {"string", {"minLength", "maxLength"}}};

// Whether a value is of a type, or of one of several.
bool is_of(const Json& value, const Json& type) {
  if (type.is_array())
    return std::any_of(type.begin(), type.end(), [&](const Json& one) { return is_of(value, one); });
  const bool whole = value.is_number() && std::floor(value.get<double>()) == value.get<double>();
  return (type == Json("object") && value.is_object()) || (type == Json("array") && value.is_array()) ||
         (type == Json("string") && value.is_string()) || (type == Json("number") && value.is_number()) ||
         (type == Json("integer") && whole) || (type == Json("boolean") && value.is_boolean()) ||
         (type == Json("null") && value.is_null());
}

// A text as the grammar writes one.
std::string literal(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      (out += '\\') += c;
    else if (byte < 0x20)
      ((out += "\\x") += kDigits[byte >> 4]) += kDigits[byte & 15];
    else
      out += c;
  }
  return out + '"';
}

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

class Translator {
 public:
  explicit Translator(const Json& schema) : root_(schema) {}

  Result<std::string> translate() {
    const std::string root = expression(root_, "schema", 0);
    if (error_) return *error_;
    std::string text = "root ::= " + root + "\n" + rules_ + kCommon;
    if (text.size() > kMaxGrammarBytes)
      return fail(ErrorKind::invalid_input, "the schema is too large: as a grammar it has " +
                                                std::to_string(text.size()) + " bytes, at most " +
                                                std::to_string(kMaxGrammarBytes) + " are possible");
    return text;
  }

 private:
  std::string refuse(const std::string& at, const std::string& what,
                     ErrorKind kind = ErrorKind::invalid_input) {
    if (!error_) error_ = fail(kind, at + ": " + what);
    return "\"\"";
  }

  std::string add_rule(const std::string& body) {
    std::string name = "r" + std::to_string(count_++);
    rules_ += name + " ::= " + body + "\n";
    if (rules_.size() > kMaxGrammarBytes) refuse("schema", "is too large");
    return name;
  }

  // Whether every keyword is one of these or says nothing about the value.
  bool knows(const Json& schema, const std::string& at, std::initializer_list<std::string_view> known) {
    static const std::set<std::string_view> kSilent{"title",    "description", "default",  "examples",
                                                    "$schema",  "$id",         "$comment", "deprecated",
                                                    "readOnly", "writeOnly",   "$defs",    "definitions"};
    for (const auto& [name, value] : schema.items())
      if (!kSilent.contains(name) && std::find(known.begin(), known.end(), name) == known.end()) {
        refuse(at, "the keyword '" + name + "' is not supported here", ErrorKind::unsupported);
        return false;
      }
    return true;
  }

  // What the value has to look like, without space around it.
  std::string expression(const Json& schema, const std::string& at, int depth) {
    if (error_) return "\"\"";
    if (depth > kMaxSchemaDepth)
      return refuse(at, "expected at most " + std::to_string(kMaxSchemaDepth) + " schemas in one another");
    if (schema == Json(true)) return "value";
    if (!schema.is_object()) return refuse(at, "expected a schema");
    if (schema.contains("$ref"))
      return knows(schema, at, {"$ref"}) ? reference(schema["$ref"], at, depth) : "";
    if (schema.contains("const"))
      return knows(schema, at, {"const", "type"}) ? one_of(Json::array({schema["const"]}), schema, at) : "";
    if (schema.contains("enum"))
      return knows(schema, at, {"enum", "type"}) ? one_of(schema["enum"], schema, at) : "";
    if (schema.contains("anyOf"))
      return knows(schema, at, {"anyOf"}) ? any_of(schema["anyOf"], at, depth) : "";
    if (!schema.contains("type")) {
      if (schema.contains("properties")) return object(schema, at, depth);
      if (schema.contains("items")) return array(schema, at, depth);
      return knows(schema, at, {}) ? "value" : "";
    }
    const Json& type = schema["type"];
    if (!type.is_array()) return of_type(type, schema, at, depth);
    if (type.empty()) return refuse(at + ".type", "expected at least one type");
    std::string out;
    for (const Json& one : type) {
      Json single = schema;
      for (const auto& [owner, keywords] : kKeywords)
        if (one != Json(owner))
          for (const char* keyword : keywords) single.erase(keyword);
      out += (out.empty() ? "(" : " | ") + of_type(one, single, at, depth);
    }
    return out + ")";
  }

  std::string of_type(const Json& type, const Json& schema, const std::string& at, int depth) {
    if (type == Json("object")) return object(schema, at, depth);
    if (type == Json("array")) return array(schema, at, depth);
    if (type == Json("string")) return string(schema, at);
    for (const char* simple : {"number", "integer", "boolean", "null"})
      if (type == Json(simple)) return knows(schema, at, {"type"}) ? simple : "";
    return refuse(at + ".type", "expected object, array, string, number, integer, boolean or null");
  }

  std::string one_of(const Json& values, const Json& schema, const std::string& at) {
    std::string out;
    if (values.is_array())
      for (const Json& value : values)
        if (!schema.contains("type") || is_of(value, schema["type"]))
          out += (out.empty() ? "(" : " | ") + literal(json_text(value));
    return out.empty() ? refuse(at, "expected a list of values, one of the type at least") : out + ")";
  }

  std::string any_of(const Json& schemas, const std::string& at, int depth) {
    if (!schemas.is_array() || schemas.empty()) return refuse(at + ".anyOf", "expected a list of schemas");
    std::string out;
    for (std::size_t i = 0; i < schemas.size(); ++i)
      out += (i == 0 ? "(" : " | ") +
             expression(schemas[i], at + ".anyOf[" + std::to_string(i) + "]", depth + 1);
    return out + ")";
  }

  // "#", "#/$defs/name", "#/definitions/name": a rule of its own, so that schemas may refer to themselves.
  std::string reference(const Json& ref, const std::string& at, int depth) {
    const std::string path = ref.is_string() ? ref.get<std::string>() : "";
    if (const auto known = references_.find(path); known != references_.end()) return known->second;
    const Json* target = nullptr;
    if (path == "#") target = &root_;
    for (const std::string group : {"$defs", "definitions"})
      if (const std::string prefix = "#/" + group + "/"; path.starts_with(prefix) && root_.is_object() &&
                                                         root_.contains(group) && root_[group].is_object() &&
                                                         root_[group].contains(path.substr(prefix.size())))
        target = &root_[group][path.substr(prefix.size())];
    if (target == nullptr) return refuse(at + ".$ref", "expected '#' or the name of one in #/$defs");
    const std::string name = "r" + std::to_string(count_++);
    references_[path] = name;
    rules_ += name + " ::= " + expression(*target, path, depth + 1) + "\n";
    return name;
  }

  // A bound that is a whole number, or what holds without it.
  std::int64_t bound(const Json& schema, const char* name, std::int64_t otherwise, const std::string& at) {
    const auto found = schema.find(name);
    if (found == schema.end()) return otherwise;
    const bool whole = found->is_number() && std::floor(found->get<double>()) == found->get<double>();
    const double value = whole ? found->get<double>() : -1;
    if (value < 0 || value > static_cast<double>(kMaxLength)) {
      refuse(at + "." + name, "expected a whole number from 0 to " + std::to_string(kMaxLength));
      return otherwise;
    }
    return static_cast<std::int64_t>(value);
  }

  static std::string times(std::int64_t least, std::int64_t most) {
    return "{" + std::to_string(least) + "," + (most < 0 ? "" : std::to_string(most)) + "}";
  }

  std::string string(const Json& schema, const std::string& at) {
    if (!knows(schema, at, {"type", "minLength", "maxLength"})) return "";
    const std::int64_t least = bound(schema, "minLength", 0, at), most = bound(schema, "maxLength", -1, at);
    if (most >= 0 && most < least) return refuse(at + ".maxLength", "expected at least minLength");
    if (least == 0 && most < 0) return "string";
    return "\"\\\"\" char" + times(least, most) + " \"\\\"\"";
  }

  std::string array(const Json& schema, const std::string& at, int depth) {
    if (!knows(schema, at, {"type", "items", "minItems", "maxItems"})) return "";
    const std::int64_t least = bound(schema, "minItems", 0, at), most = bound(schema, "maxItems", -1, at);
    if (most >= 0 && most < least) return refuse(at + ".maxItems", "expected at least minItems");
    if (most == 0) return "\"[\" space \"]\"";
    const std::string item =
        schema.contains("items") ? expression(schema["items"], at + ".items", depth + 1) : "value";
    const std::string one = add_rule(item + " space");
    const std::string more =
        "(\",\" space " + one + ")" + times(std::max<std::int64_t>(least - 1, 0), most < 0 ? -1 : most - 1);
    const std::string items = one + " " + more;
    return add_rule("\"[\" space " + (least > 0 ? items : "(" + items + ")?") + " \"]\"");
  }

  // Properties in the order of the schema, those that are not required left out at will.
  std::string object(const Json& schema, const std::string& at, int depth) {
    if (!knows(schema, at, {"type", "properties", "required", "additionalProperties"})) return "";
    const Json properties = schema.value("properties", Json::object());
    const Json required = schema.value("required", Json::array());
    const bool any = !schema.contains("properties") && !schema.contains("additionalProperties");
    const Json more = any ? Json(true) : schema.value("additionalProperties", Json(false));
    if (!properties.is_object()) return refuse(at + ".properties", "expected an object");
    if (!required.is_array()) return refuse(at + ".required", "expected a list of names");
    for (const Json& name : required)
      if (!name.is_string() || !properties.contains(name.get<std::string>()))
        return refuse(at + ".required", "expected names of properties");

    std::vector<std::string> names;
    for (const auto& [name, value] : properties.items()) names.push_back(name);
    // From the last to the first: what may follow when nothing stands in the object yet, and when something
    // does.
    std::string first = "\"\"", rest = "\"\"";
    if (more != Json(false)) {
      const std::string value = expression(more, at + ".additionalProperties", depth + 1);
      const std::string member = add_rule(other_name(names) + " space \":\" space " + value + " space");
      rest = add_rule("(\",\" space " + member + ")*");
      first = add_rule("(" + member + " " + rest + ")?");
    }
    for (auto name = names.rbegin(); name != names.rend(); ++name) {
      const std::string value = expression(properties[*name], at + ".properties." + *name, depth + 1);
      const std::string member =
          add_rule(literal(json_text(Json(*name))) + " space \":\" space " + value + " space");
      const bool must = std::find(required.begin(), required.end(), Json(*name)) != required.end();
      const std::string next = rest;
      rest = add_rule(must ? "\",\" space " + member + " " + next : "(\",\" space " + member + ")? " + next);
      first = add_rule(must ? member + " " + next : member + " " + next + " | " + first);
    }
    return "\"{\" space " + first + " \"}\"";
  }

  // A name, written without escapes, that is none of these.
  std::string other_name(const std::vector<std::string>& names) {
    std::vector<std::u32string> taken;
    for (const std::string& name : names) taken.push_back(code_points(name));
    std::sort(taken.begin(), taken.end());
    return "\"\\\"\" " + other_than(taken, 0);
  }

  // What may follow `at` characters that all of `taken` begin with, the closing quote included.
  std::string other_than(const std::vector<std::u32string>& taken, std::size_t at) {
    if (taken.empty()) return "[^\"\\\\\\x00-\\x1f]* \"\\\"\"";
    std::string out, excluded;
    bool itself = false;
    for (std::size_t i = 0; i < taken.size();) {
      if (taken[i].size() == at) {
        itself = true;
        ++i;
        continue;
      }
      const char32_t c = taken[i][at];
      std::vector<std::u32string> same;
      for (; i < taken.size() && taken[i][at] == c; ++i) same.push_back(taken[i]);
      excluded += escaped(c);
      if (c >= 0x20 && c != '"' && c != '\\')
        out += "[" + escaped(c) + "] " + other_than(same, at + 1) + " | ";
    }
    out += "[^\"\\\\\\x00-\\x1f" + excluded + "] [^\"\\\\\\x00-\\x1f]* \"\\\"\"";
    if (!itself) out += " | \"\\\"\"";
    return add_rule(out);
  }

  static std::string escaped(char32_t c) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string out = "\\U";
    for (int shift = 28; shift >= 0; shift -= 4) out += kDigits[c >> shift & 15];
    return out;
  }

  static std::u32string code_points(std::string_view utf8) {
    std::u32string out;
    for (const char c : utf8) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x80)
        out += byte;
      else if (byte >= 0xc0)
        out += byte & (byte < 0xe0 ? 0x1f : byte < 0xf0 ? 0x0f : 0x07);
      else if (!out.empty())
        out.back() = out.back() << 6 | (byte & 0x3f);
    }
    return out;
  }

  const Json& root_;
  std::string rules_;
  std::size_t count_ = 0;
  std::map<std::string, std::string> references_;
  std::optional<Error> error_;
};

}  // namespace

std::string json_grammar() {
  return std::string("root ::= object\n") + kCommon;
}

Result<std::string> schema_grammar(const Json& schema) {
  return Translator(schema).translate();
}

}  // namespace cortensor::router
