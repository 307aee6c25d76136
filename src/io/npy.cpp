// One npy array: magic, header (a Python dict literal), raw elements.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "core/error.h"
#include "io/npz.h"

namespace linden {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);

struct DtypeName {
  std::string_view name;
  at::ScalarType dtype;
};
constexpr std::array kDtypes = {DtypeName{"|b1", at::kBool},  DtypeName{"|u1", at::kByte},  DtypeName{"|i1", at::kChar},
                                DtypeName{"<i2", at::kShort}, DtypeName{"<i4", at::kInt},   DtypeName{"<i8", at::kLong},
                                DtypeName{"<f2", at::kHalf},  DtypeName{"<f4", at::kFloat}, DtypeName{"<f8", at::kDouble}};

struct Header {
  at::ScalarType dtype = at::kFloat;
  bool column_major = false;
  std::vector<int64_t> shape;
  size_t num_bytes = 0;  // up to the first element
};

// The text after "'key':", without leading spaces.
std::string_view value_of(std::string_view dict, const std::string& key, const std::string& origin) {
  const size_t at = dict.find("'" + key + "'");
  check_input(at != std::string_view::npos, "{}: the npy header has no '{}'", origin, key);
  std::string_view rest = dict.substr(at + key.size() + 2);
  rest.remove_prefix(std::min(rest.find_first_not_of(" :"), rest.size()));
  return rest;
}

at::ScalarType parse_dtype(std::string_view text, const std::string& origin) {
  const std::string_view name = text.size() > 1 && text.front() == '\'' ? text.substr(1, text.find('\'', 1) - 1) : text.substr(0, 16);
  for (const DtypeName& entry : kDtypes) {
    if (entry.name == name) return entry.dtype;
  }
  throw InputError(
      fmt::format("{}: elements are {}, wanted one of |b1 |u1 |i1 <i2 <i4 <i8 <f2 <f4 <f8; convert them with numpy's astype", origin, std::string(name)));
}

std::vector<int64_t> parse_shape(std::string_view text, const std::string& origin) {
  const size_t end = text.find(')');
  check_input(!text.empty() && text.front() == '(' && end != std::string_view::npos, "{}: the npy header's shape is no tuple", origin);
  std::vector<int64_t> shape;
  std::string digits;
  constexpr size_t kMostDigits = 15;
  for (const char c : text.substr(1, end)) {
    if (c >= '0' && c <= '9') {
      digits += c;
      check_input(digits.size() <= kMostDigits, "{}: the npy header's shape holds a size of more than {} digits", origin, kMostDigits);
    } else if (c == ',' || c == ')') {
      if (!digits.empty()) shape.push_back(std::stoll(digits));
      digits.clear();
    } else {
      check_input(c == ' ' || c == 'L', "{}: the npy header's shape holds '{}'", origin, c);
    }
  }
  constexpr size_t kMostDimensions = 32;
  check_input(shape.size() <= kMostDimensions, "{}: {} dimensions (at most {})", origin, shape.size(), kMostDimensions);
  return shape;
}

Header parse_header(std::string_view bytes, const std::string& origin) {
  check_input(bytes.size() >= 10 && bytes.substr(0, 6) == kMagic, "{}: no npy array (it does not start with \\x93NUMPY)", origin);
  const auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<unsigned char>(bytes[at])); };
  const size_t version = byte(6);
  check_input(version >= 1 && version <= 3, "{}: npy version {} (known: 1 to 3)", origin, version);
  const size_t prefix = version == 1 ? 10 : 12;
  check_input(bytes.size() >= prefix, "{}: the npy header is cut", origin);
  const size_t length = version == 1 ? byte(8) | byte(9) << 8 : byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24;
  check_input(length <= bytes.size() - prefix, "{}: the npy header is cut: it names {} bytes, {} are left", origin, length, bytes.size() - prefix);
  const std::string_view dict = bytes.substr(prefix, length);
  Header header;
  header.dtype = parse_dtype(value_of(dict, "descr", origin), origin);
  header.column_major = value_of(dict, "fortran_order", origin).starts_with("True");
  header.shape = parse_shape(value_of(dict, "shape", origin), origin);
  header.num_bytes = prefix + length;
  return header;
}

}  // namespace

at::Tensor parse_npy(std::string_view bytes, const std::string& origin) {
  Header header = parse_header(bytes, origin);
  const size_t available = bytes.size() - header.num_bytes, element = c10::elementSize(header.dtype);
  size_t wanted = element;
  for (const int64_t size : header.shape) {
    const auto factor = static_cast<size_t>(size);
    check_input(factor == 0 || wanted <= std::numeric_limits<size_t>::max() / factor, "{}: the shape ({}) has more elements than fit", origin,
                fmt::join(header.shape, ", "));
    wanted *= factor;
  }
  check_input(wanted == available, "{}: the shape ({}) needs {} bytes, but {} follow the header", origin, fmt::join(header.shape, ", "), wanted, available);
  if (header.column_major) std::reverse(header.shape.begin(), header.shape.end());
  at::Tensor array = at::empty(header.shape, header.dtype);
  if (wanted > 0) std::memcpy(array.mutable_data_ptr(), bytes.data() + header.num_bytes, wanted);
  if (!header.column_major || array.dim() < 2) return array;
  std::vector<int64_t> order(header.shape.size());
  for (size_t d = 0; d < order.size(); ++d) order[d] = static_cast<int64_t>(order.size() - 1 - d);
  return array.permute(order).contiguous();
}

std::string format_npy(const at::Tensor& array) {
  const at::Tensor values = array.detach().to(at::kCPU).contiguous();
  const auto entry = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const DtypeName& name) { return name.dtype == values.scalar_type(); });
  check(entry != kDtypes.end(), "npy: dtype {} cannot be written", c10::toString(values.scalar_type()));
  std::string dict =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", entry->name, fmt::join(values.sizes(), ", "), values.dim() == 1 ? "," : "");
  constexpr size_t kAlignment = 64, kPrefix = 10;
  dict += std::string(kAlignment - (kPrefix + dict.size() + 1) % kAlignment, ' ') + "\n";
  std::string bytes(kMagic);
  bytes += '\x01';
  bytes += '\x00';
  bytes += static_cast<char>(dict.size() & 0xff);
  bytes += static_cast<char>(dict.size() >> 8);
  bytes += dict;
  if (values.numel() > 0) bytes.append(static_cast<const char*>(values.const_data_ptr()), values.nbytes());
  return bytes;
}

}  // namespace linden
