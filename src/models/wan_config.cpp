#include "models/wan_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"

namespace linden {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSource = "_converted_from";
constexpr int64_t kMaxSize = 1 << 24;  // of any extent: the products stay far from an overflow
constexpr int kMaxDepth = 64;
const Json kPatch = {1, 2, 2};
constexpr int64_t kTextDim = 4096, kRopePositions = 1024, kTextTokens = 512;

// Keys with the same meaning under two names.
const std::pair<const char*, const char*> kRenamed[] = {{"num_attention_heads", "num_heads"}, {"in_channels", "in_dim"}, {"out_channels", "out_dim"}};
// Keys that only one side has. All others are carried over as they are.
const char* const kDiffusersOnly[] = {"_class_name",       "attention_head_dim", "added_kv_proj_dim", "image_dim",
                                      "pos_embed_seq_len", "rope_max_seq_len",   "qk_norm",           "cross_attn_norm"};
const char* const kOriginalOnly[] = {"_class_name", "dim", "model_type", "text_len", "window_size", "qk_norm", "cross_attn_norm"};

template <size_t kCount>
bool is_one_of(const std::string& key, const char* const (&names)[kCount]) {
  return std::any_of(std::begin(names), std::end(names), [&](const char* name) { return key == name; });
}

Json parse_object(const std::string& text, const std::string& origin) {
  const auto watch = [&](int depth, Json::parse_event_t, Json&) {
    check_input(depth < kMaxDepth, "{}: is nested more than {} deep", origin, kMaxDepth);
    return true;
  };
  Json json = Json::parse(text, watch, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  check_input(!json.is_discarded(), "{}: not valid JSON", origin);
  check_input(json.is_object(), "{}: is {}, wanted an object", origin, json.type_name());
  return json;
}

// As Python's json.dumps(..., indent=2); the reference sorts the keys, which is the caller's part.
std::string written(const Json& json) { return json.dump(2, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) + "\n"; }

// A value in a message: one line, not too long.
std::string shown(const Json& value) { return value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace).substr(0, 80); }

Json sorted_by_key(const Json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  Json sorted = Json::object();
  for (const std::string& key : keys) sorted[key] = json[key];
  return sorted;
}

int64_t size_of(const Json& json, const std::string& origin, const char* key, int64_t fallback = 0) {
  if (fallback != 0 && !json.contains(key)) return fallback;
  check_input(json.contains(key), "{}: there is no \"{}\"", origin, key);
  const Json& value = json[key];
  const bool is_size = value.is_number_integer() && value > 0 && value <= kMaxSize;
  check_input(is_size, "{}: {} is {}, wanted an integer from 1 to {}", origin, key, shown(value), kMaxSize);
  return value.get<int64_t>();
}

// A key of the other layout has no meaning here and would be lost, or taken for another, on the way there.
void check_no_foreign_key(const Json& json, const std::string& origin, WanNaming naming) {
  const bool diffusers = naming == WanNaming::kDiffusers;
  std::vector<std::string> foreign;
  for (const auto& [one, other] : kRenamed) foreign.emplace_back(diffusers ? other : one);
  for (const char* key : diffusers ? std::vector<const char*>(std::begin(kOriginalOnly), std::end(kOriginalOnly))
                                   : std::vector<const char*>(std::begin(kDiffusersOnly), std::end(kDiffusersOnly)))
    foreign.emplace_back(key);
  for (const std::string& key : foreign) {
    const bool shared = key == "_class_name" || key == "qk_norm" || key == "cross_attn_norm";
    check_input(shared || !json.contains(key), "{}: {} is a key of the other layout; the file says that it is a {}", origin, key, wan_class_name(naming));
  }
}

// linden has one setting of this key, and a file without it means that one.
void require(const Json& json, const std::string& origin, const char* key, const Json& wanted, const char* why) {
  if (!json.contains(key) || json[key] == wanted) return;
  throw InputError(fmt::format("{}: {} is {}, wanted {}: {}", origin, key, shown(json[key]), wanted.dump(), why));
}

WanNaming naming_of(const Json& json, const std::string& origin) {
  if (!json.contains("_class_name") && json.contains("dim") && json.contains("num_heads")) return WanNaming::kOriginal;
  check_input(json.contains("_class_name") && json["_class_name"].is_string(), "{}: there is no \"_class_name\", which says what kind of model this is",
              origin);
  const std::string name = json["_class_name"].get<std::string>();
  for (const WanNaming naming : {WanNaming::kDiffusers, WanNaming::kOriginal})
    if (name == wan_class_name(naming)) return naming;
  throw InputError(fmt::format("{}: _class_name is {}, wanted {} (diffusers) or {} (the original code): no Wan 2.1 video transformer", origin,
                               name.substr(0, 80), wan_class_name(WanNaming::kDiffusers), wan_class_name(WanNaming::kOriginal)));
}

void check_supported(const Json& json, const std::string& origin, WanNaming naming) {
  const char* const kTask = "linden has text-to-video transformers only";
  const char* const kNorm = "Wan 2.1 has no other";
  check_no_foreign_key(json, origin, naming);
  require(json, origin, "cross_attn_norm", true, kNorm);
  if (naming == WanNaming::kDiffusers) {
    for (const char* key : {"added_kv_proj_dim", "image_dim", "pos_embed_seq_len"}) require(json, origin, key, nullptr, kTask);
    require(json, origin, "qk_norm", "rms_norm_across_heads", kNorm);
  } else {
    require(json, origin, "model_type", "t2v", kTask);
    require(json, origin, "qk_norm", true, kNorm);
    require(json, origin, "window_size", Json{-1, -1}, "linden attends to the whole clip");
  }
}

WanSizes sizes_of(const Json& json, const std::string& origin, WanNaming naming) {
  check_supported(json, origin, naming);
  const bool diffusers = naming == WanNaming::kDiffusers;
  const int64_t heads = size_of(json, origin, diffusers ? "num_attention_heads" : "num_heads");
  WanSizes sizes;
  sizes.num_layers = size_of(json, origin, "num_layers");
  check_input(sizes.num_layers < 1000, "{}: num_layers is {}, wanted fewer than 1000", origin, sizes.num_layers);
  sizes.width = diffusers ? heads * size_of(json, origin, "attention_head_dim") : size_of(json, origin, "dim");
  check_input(sizes.width <= kMaxSize && sizes.width % heads == 0, "{}: a width of {} for {} heads: wanted a multiple of at most {}", origin, sizes.width,
              heads, kMaxSize);
  sizes.ffn_dim = size_of(json, origin, "ffn_dim");
  sizes.text_dim = size_of(json, origin, "text_dim", kTextDim);
  sizes.freq_dim = size_of(json, origin, "freq_dim", 256);
  sizes.in_channels = size_of(json, origin, diffusers ? "in_channels" : "in_dim", 16);
  sizes.out_channels = size_of(json, origin, diffusers ? "out_channels" : "out_dim", 16);
  if (!json.contains("patch_size")) return sizes;
  const Json& patch = json["patch_size"];
  const auto is_extent = [](const Json& extent) { return extent.is_number_integer() && extent > 0 && extent <= 64; };
  check_input(patch.is_array() && patch.size() == 3 && std::all_of(patch.begin(), patch.end(), is_extent),
              "{}: patch_size is {}, wanted three integers from 1 to 64", origin, shown(patch));
  sizes.patch = patch.get<std::vector<int64_t>>();
  return sizes;
}

// What both layouts carry alike: renamed keys under their new names, all others as they are.
Json carried_over(const Json& json, WanNaming from) {
  const bool diffusers = from == WanNaming::kDiffusers;
  Json out = Json::object();
  for (const auto& [key, value] : json.items()) {
    if (key == kSource || (diffusers ? is_one_of(key, kDiffusersOnly) : is_one_of(key, kOriginalOnly))) continue;
    std::string name = key;
    for (const auto& [one, other] : kRenamed)
      if (key == (diffusers ? one : other)) name = diffusers ? other : one;
    out[name] = value;
  }
  return out;
}

Json to_original(const Json& json, const WanSizes& sizes) {
  Json out = carried_over(json, WanNaming::kDiffusers);
  if (sizes.patch == kPatch.get<std::vector<int64_t>>()) out.erase("patch_size");
  if (sizes.text_dim == kTextDim) out.erase("text_dim");
  out["_class_name"] = wan_class_name(WanNaming::kOriginal);
  out["dim"] = sizes.width;
  out["in_dim"] = sizes.in_channels;
  out["out_dim"] = sizes.out_channels;
  out["model_type"] = "t2v";
  out["text_len"] = kTextTokens;
  return out;
}

Json to_diffusers(const Json& json, const WanSizes& sizes) {
  Json out = carried_over(json, WanNaming::kOriginal);
  out["_class_name"] = wan_class_name(WanNaming::kDiffusers);
  out["attention_head_dim"] = sizes.width / json["num_heads"].get<int64_t>();
  for (const char* key : {"added_kv_proj_dim", "image_dim"}) out[key] = nullptr;
  out["in_channels"] = sizes.in_channels;
  out["out_channels"] = sizes.out_channels;
  out["patch_size"] = sizes.patch;
  out["text_dim"] = sizes.text_dim;
  out["rope_max_seq_len"] = kRopePositions;
  out["qk_norm"] = "rms_norm_across_heads";
  out["cross_attn_norm"] = true;
  return out;
}

Json converted(const Json& json, const std::string& origin, WanNaming from) {
  const WanSizes sizes = sizes_of(json, origin, from);
  return sorted_by_key(from == WanNaming::kDiffusers ? to_original(json, sizes) : to_diffusers(json, sizes));
}

// The stored source of a converted file, if the file still says what was made of it: nobody changed it since.
const Json* source_of(const Json& json, const Json& without_source, WanNaming to) {
  if (!json.contains(kSource) || !json[kSource].is_object()) return nullptr;
  const Json& source = json[kSource];
  try {
    const bool fits = naming_of(source, kSource) == to && converted(source, kSource, to) == sorted_by_key(without_source);
    return fits ? &source : nullptr;
  } catch (const InputError&) {
    return nullptr;  // edited into something else: the file is converted by its own keys
  }
}

}  // namespace

const char* wan_class_name(WanNaming naming) { return naming == WanNaming::kDiffusers ? "WanTransformer3DModel" : "WanModel"; }

WanNaming wan_config_naming(const std::string& json, const std::string& origin) { return naming_of(parse_object(json, origin), origin); }

WanSizes wan_sizes(const std::string& text, const std::string& origin) {
  const Json json = parse_object(text, origin);
  return sizes_of(json, origin, naming_of(json, origin));
}

std::string convert_wan_config(const std::string& text, const std::string& origin, WanNaming to) {
  const Json json = parse_object(text, origin);
  const WanNaming from = naming_of(json, origin);
  sizes_of(json, origin, from);
  if (from == to) return written(json);
  Json plain = json;
  plain.erase(kSource);
  if (const Json* source = source_of(json, plain, to)) return written(*source);
  Json out = converted(plain, origin, from);
  out[kSource] = plain;
  return written(sorted_by_key(out));
}

}  // namespace linden
