#include "io/safetensors_header.h"

#include <c10/core/ScalarType.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"

namespace linden {
namespace {

using nlohmann::json;

struct DtypeName {
  const char* name;
  at::ScalarType dtype;
  int rank;  // place in the reference's order of a file's data: wider elements first
};
constexpr std::array kDtypes{
    DtypeName{"F64", at::kDouble, 2},
    DtypeName{"F32", at::kFloat, 4},
    DtypeName{"F16", at::kHalf, 8},
    DtypeName{"BF16", at::kBFloat16, 7},
    DtypeName{"I64", at::kLong, 1},
    DtypeName{"I32", at::kInt, 6},
    DtypeName{"I16", at::kShort, 10},
    DtypeName{"I8", at::kChar, 14},
    DtypeName{"U64", at::kUInt64, 0},
    DtypeName{"U32", at::kUInt32, 5},
    DtypeName{"U16", at::kUInt16, 9},
    DtypeName{"U8", at::kByte, 15},
    DtypeName{"BOOL", at::kBool, 16},
    DtypeName{"F8_E4M3", at::kFloat8_e4m3fn, 12},
    DtypeName{"F8_E5M2", at::kFloat8_e5m2, 13},
    DtypeName{"F8_E8M0", at::kFloat8_e8m0fnu, 11},
    DtypeName{"C64", at::kComplexFloat, 3},
};

std::string known_dtypes() {
  std::vector<std::string> names;
  for (const auto& dtype : kDtypes) names.emplace_back(dtype.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// Walks the header without building a tree of it: only the three keys of an entry and a flat object of
// texts are possible, so everything else is refused where it appears.
class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  explicit HeaderReader(SafetensorsHeader& header) : header_(header) {}

  std::string error;  // why parsing stopped

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("true or false"); }
  bool binary(binary_t&) override { return refuse("binary data"); }
  bool number_integer(number_integer_t value) override { return refuse(fmt::format("the negative number {}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return refuse("the number " + text.substr(0, 40) + ", which is no integer below 2^64,"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > INT64_MAX) return fail(fmt::format("tensor {}: the dimension {} is too large", name(), value));
      if (entry_.shape.size() == kMaxSafetensorsRank) { return fail(fmt::format("tensor {} has more than {} dimensions", name(), kMaxSafetensorsRank)); }
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets) {
      if (num_offsets_ == 2) return fail(fmt::format("tensor {}: data_offsets has more than two numbers", name()));
      (num_offsets_++ == 0 ? entry_.begin : entry_.end) = value;
      return true;
    }
    return refuse(fmt::format("the number {}", value));
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      if (!header_.metadata.emplace(key_, value).second) { return fail(fmt::format("metadata key {} appears twice", quoted_name(key_))); }
      return true;
    }
    if (place_ != Place::kEntry || key_ != "dtype") return refuse("the text " + quoted_name(value));
    const auto dtype = safetensors_dtype(value);
    if (!dtype) { return fail(fmt::format("tensor {} has the unknown dtype {} (known: {})", name(), quoted_name(value), known_dtypes())); }
    entry_.dtype = *dtype;
    return true;
  }

  bool start_object(size_t) override {
    if (place_ == Place::kOutside) {
      place_ = Place::kTop;
      return true;
    }
    if (place_ != Place::kTop) return refuse("an object");
    if (key_ == "__metadata__") {
      place_ = Place::kMetadata;
    } else {
      place_ = Place::kEntry;
      entry_ = {};
      seen_.clear();
      num_offsets_ = 0;
    }
    return true;
  }

  bool key(string_t& key) override {
    key_ = key;
    if (place_ == Place::kTop) {
      entry_name_ = key;
      if (key == "__metadata__" ? std::exchange(has_metadata_, true) : header_.entries.contains(key)) {
        return fail(fmt::format("the name {} appears twice", quoted_name(key)));
      }
    } else if (place_ == Place::kEntry) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        return fail(fmt::format("tensor {} has the unknown key {} (known: dtype, shape, data_offsets)", name(), quoted_name(key)));
      }
      if (!seen_.insert(key).second) return fail(fmt::format("tensor {} has the key {} twice", name(), key));
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kEntry) {
      for (const char* needed : {"dtype", "shape", "data_offsets"}) {
        if (!seen_.contains(needed)) return fail(fmt::format("tensor {} has no {}", name(), needed));
      }
      header_.entries.emplace(entry_name_, std::move(entry_));
    }
    place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
    return true;
  }

  bool start_array(size_t) override {
    if (place_ != Place::kEntry || key_ == "dtype") return refuse("an array");
    place_ = key_ == "shape" ? Place::kShape : Place::kOffsets;
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && num_offsets_ != 2) { return fail(fmt::format("tensor {}: data_offsets has {} numbers, wanted 2", name(), num_offsets_)); }
    place_ = Place::kEntry;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& problem) override {
    std::string text = problem.what();
    if (text.size() > 200) text = text.substr(0, 200) + " ...";
    return fail(fmt::format("the header is not valid JSON at its byte {}: {}", position, text));
  }

 private:
  enum class Place { kOutside, kTop, kEntry, kShape, kOffsets, kMetadata };

  std::string name() const { return quoted_name(entry_name_); }
  bool fail(std::string message) {
    error = std::move(message);
    return false;
  }
  bool refuse(const std::string& what) {
    const std::string where = place_ == Place::kOutside    ? "as the whole header, wanted an object"
                              : place_ == Place::kMetadata ? "in __metadata__, wanted text for " + quoted_name(key_)
                              : place_ == Place::kTop      ? "as tensor " + name() + ", wanted an object"
                                                           : "in tensor " + name() + " under " + quoted_name(key_);
    return fail(fmt::format("the header has {} {}", what, where));
  }

  SafetensorsHeader& header_;
  Place place_ = Place::kOutside;
  std::string entry_name_, key_;
  SafetensorsEntry entry_;
  std::set<std::string> seen_;
  int num_offsets_ = 0;
  bool has_metadata_ = false;
};

// Bytes of a shape, or nothing where they overflow. Zero dimensions count as one in the overflow check,
// because the strides of an empty tensor are products of the others.
std::optional<uint64_t> byte_count(const SafetensorsEntry& entry) {
  int64_t bound = static_cast<int64_t>(c10::elementSize(entry.dtype));
  bool empty = false;
  for (const int64_t size : entry.shape) {
    empty = empty || size == 0;
    if (__builtin_mul_overflow(bound, std::max<int64_t>(size, 1), &bound)) return std::nullopt;
  }
  return empty ? 0 : static_cast<uint64_t>(bound);
}

void check_entry(const std::string& origin, const std::string& name, const SafetensorsEntry& entry, uint64_t data_size) {
  const auto where = [&] { return fmt::format("{}: tensor {}", origin, quoted_name(name)); };
  check_input(entry.begin <= entry.end, "{}: data_offsets [{}, {}] run backwards", where(), entry.begin, entry.end);
  check_input(entry.end <= data_size, "{}: data_offsets [{}, {}] reach past the end of the file, which has {} bytes of data; it was cut short", where(),
              entry.begin, entry.end, data_size);
  const auto bytes = byte_count(entry);
  const auto dtype = *safetensors_dtype_name(entry.dtype);
  check_input(bytes.has_value(), "{}: the byte count of shape [{}] x {} overflows", where(), fmt::join(entry.shape, ", "), dtype);
  check_input(*bytes == entry.end - entry.begin, "{}: shape [{}] x {} needs {} bytes, but data_offsets [{}, {}] hold {}", where(), fmt::join(entry.shape, ", "),
              dtype, *bytes, entry.begin, entry.end, entry.end - entry.begin);
}

void check_layout(const std::string& origin, const SafetensorsHeader& header, uint64_t data_size) {
  std::vector<std::pair<const std::string*, const SafetensorsEntry*>> order;
  order.reserve(header.entries.size());
  for (const auto& [name, entry] : header.entries) {
    check_entry(origin, name, entry, data_size);
    order.emplace_back(&name, &entry);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end); });
  uint64_t covered = 0;
  const std::string* previous = nullptr;
  for (const auto& [name, entry] : order) {
    check_input(entry->begin >= covered, "{}: tensors {} and {} overlap at byte {} of the data", origin, quoted_name(previous ? *previous : ""),
                quoted_name(*name), entry->begin);
    check_input(entry->begin == covered, "{}: there is a hole in the data, bytes {} to {}, before tensor {}", origin, covered, entry->begin,
                quoted_name(*name));
    covered = entry->end;
    previous = name;
  }
  check_input(covered == data_size, "{}: {} bytes follow the last tensor: the data has {} bytes, the header names {}", origin, data_size - covered, data_size,
              covered);
}

}  // namespace

std::optional<at::ScalarType> safetensors_dtype(std::string_view name) {
  for (const auto& dtype : kDtypes) {
    if (name == dtype.name) return dtype.dtype;
  }
  return std::nullopt;
}

std::optional<std::string> safetensors_dtype_name(at::ScalarType dtype) {
  for (const auto& known : kDtypes) {
    if (dtype == known.dtype) return known.name;
  }
  return std::nullopt;
}

int safetensors_rank(at::ScalarType dtype) {
  const auto found = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const DtypeName& known) { return known.dtype == dtype; });
  check(found != kDtypes.end(), "safetensors_rank: the format lacks the dtype {}", c10::toString(dtype));
  return found->rank;
}

std::string quoted_name(std::string_view name) {
  constexpr size_t kShown = 96;
  std::string shown;
  for (const char c : name.substr(0, kShown)) shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (name.size() <= kShown) return "'" + shown + "'";
  while (!shown.empty() && (static_cast<unsigned char>(shown.back()) & 0xc0) == 0x80) shown.pop_back();  // whole
  if (!shown.empty() && static_cast<unsigned char>(shown.back()) >= 0xc0) shown.pop_back();              // UTF-8
  return "'" + shown + "...'";
}

SafetensorsHeader parse_safetensors_header(const std::string& origin, std::string_view file) {
  check_input(file.size() >= 8, "{}: has {} bytes, too few for a safetensors file, which starts with 8 bytes of header size", origin, file.size());
  uint64_t header_size = 0;
  for (int i = 7; i >= 0; --i) header_size = header_size << 8 | static_cast<unsigned char>(file[i]);
  check_input(header_size <= kMaxSafetensorsHeader, "{}: the header size {} is larger than {} bytes: damaged, or not a safetensors file", origin, header_size,
              kMaxSafetensorsHeader);
  check_input(header_size <= file.size() - 8, "{}: the header is cut short: it should have {} bytes, and {} follow its size", origin, header_size,
              file.size() - 8);
  const std::string_view text = file.substr(8, header_size);
  check_input(!text.empty() && text.front() == '{', "{}: the header does not start with '{{': not a safetensors file", origin);
  SafetensorsHeader header;
  HeaderReader reader(header);
  const bool parsed = json::sax_parse(text.begin(), text.end(), &reader);
  check_input(parsed, "{}: {}", origin, reader.error);
  header.data_start = 8 + header_size;
  check_layout(origin, header, file.size() - header.data_start);
  return header;
}

}  // namespace linden
