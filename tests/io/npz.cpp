// npz archives: round trips, what numpy writes, damage.
#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "core/error.h"
#include "io/npz.h"
#include "core/files.h"
#include "tests/support/support.h"

using namespace linden;
using linden::test::message_of;
using linden::test::TemporaryFolder;

namespace {

void write_bytes(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string npy(const std::string& dict, const std::string& elements) {
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(dict.size()) + std::string(1, '\0') + dict + elements;
}

}  // namespace

TEST_CASE("npz round trip of every dtype and shape", "[unit]") {
  TemporaryFolder folder;
  NpzArrays arrays;
  for (const at::ScalarType dtype : {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kHalf, at::kFloat, at::kDouble}) {
    arrays[c10::toString(dtype)] = at::arange(24).reshape({2, 3, 4}).to(dtype);
  }
  arrays["scalar"] = at::scalar_tensor(2.5);
  arrays["vector"] = at::arange(5);
  arrays["empty"] = at::zeros({0, 3});
  arrays["transposed"] = at::arange(6).reshape({2, 3}).t();
  write_npz(folder / "a.npz", arrays);
  const NpzArrays read = read_npz(folder / "a.npz");
  REQUIRE(read.size() == arrays.size());
  for (const auto& [name, array] : arrays) {
    INFO(name);
    CHECK(read.at(name).scalar_type() == array.scalar_type());
    CHECK(at::equal(read.at(name), array));
  }
  const std::string first = read_text_file(folder / "a.npz");
  write_npz(folder / "a.npz", arrays);
  CHECK(read_text_file(folder / "a.npz") == first);  // equal arrays, equal bytes
}

TEST_CASE("npz files that numpy wrote", "[golden]") {
  // numpy.savez and numpy.savez_compressed of the same arrays (scripts/golden/make_npz.py).
  for (const char* file : {"tests/golden/io/stored.npz", "tests/golden/io/deflated.npz"}) {
    INFO(file);
    const NpzArrays arrays = read_npz(file);
    CHECK(at::equal(arrays.at("counting"), at::arange(6, at::kFloat).reshape({2, 3})));
    CHECK(at::equal(arrays.at("column_major"), at::arange(24, at::kDouble).reshape({2, 3, 4})));
    CHECK(at::equal(arrays.at("bytes"), at::arange(1000).remainder(256).to(at::kByte)));
    CHECK(at::equal(arrays.at("scalar"), at::scalar_tensor(7, at::kLong)));
  }
}

TEST_CASE("damaged npz files are refused in words", "[unit]") {
  TemporaryFolder folder;
  const auto file = folder / "a.npz";
  const auto message = [&](const std::string& bytes) {
    write_bytes(file, bytes);
    return message_of([&] { read_npz(file); });
  };
  write_npz(file, {{"x", at::arange(10, at::kFloat)}});
  const std::string good = read_text_file(file), name = file.string();
  CHECK(message(good.substr(0, good.size() - 30)) == name + ": no npz file, or cut: there is no zip directory at its end");
  CHECK(message("short") == name + ": no npz file: 5 bytes are too few for a zip archive");
  std::string flipped = good;
  flipped[good.find("NUMPY") + 130] ^= 1;
  CHECK(message(flipped) == name + ": x: the checksum does not fit: the data is damaged");
  std::string directory = good;
  directory[good.find("PK\x01\x02")] = 'X';
  CHECK(message(directory) == name + ": the zip directory is damaged");
  CHECK(message_of([&] { read_npz(folder / "none.npz"); }).find("none.npz") != std::string::npos);
  // Every single byte changed, every length cut: an InputError or the right arrays, never a crash.
  for (size_t at = 0; at < good.size(); ++at) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 0xff);
    write_bytes(file, changed);
    try {
      read_npz(file);
    } catch (const InputError&) {}
    write_bytes(file, good.substr(0, at));
    CHECK_THROWS_AS(read_npz(file), InputError);
  }
}

TEST_CASE("npy headers that do not hold are refused in words", "[unit]") {
  const auto message = [](const std::string& dict, const std::string& elements) { return message_of([&] { parse_npy(npy(dict, elements), "a"); }); };
  CHECK(message("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "12345678").empty());
  CHECK(message("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "123") == "a: the shape (2) needs 8 bytes, but 3 follow the header");
  CHECK(message("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "") ==
        "a: elements are |O, wanted one of |b1 |u1 |i1 <i2 <i4 <i8 <f2 <f4 <f8; convert them with numpy's astype");
  CHECK(message("{'descr': '<f4', 'fortran_order': False}", "") == "a: the npy header has no 'shape'");
  CHECK(message("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "") == "a: the npy header's shape holds '-'");
  CHECK(message("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 999999999, 999999999)}", "") ==
        "a: the shape (999999999, 999999999, 999999999) has more elements than fit");
  CHECK(message_of([] { parse_npy("no array", "a"); }) == "a: no npy array (it does not start with \\x93NUMPY)");
}
