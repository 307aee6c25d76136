#include "io/safetensors.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "core/error.h"
#include "core/files.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

const std::filesystem::path kGolden = "tests/golden/io";

// A file with this header and `num_bytes` bytes 0, 1, 2 ... of data.
std::filesystem::path file_with(const test::TemporaryFolder& folder, const std::string& header, size_t num_bytes) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 0xff);
  bytes += header;
  for (size_t i = 0; i < num_bytes; ++i) bytes += static_cast<char>(i);
  write_file_atomically(folder / "x.safetensors", bytes);
  return folder / "x.safetensors";
}

std::string problem_with(const std::string& header, size_t num_bytes) {
  test::TemporaryFolder folder;
  const auto path = file_with(folder, header, num_bytes);
  const auto open = [&] { SafetensorsFile file(path); };
  CHECK_THROWS_AS(open(), InputError);
  const std::string message = message_of(open);
  CHECK_THAT(message, ContainsSubstring("x.safetensors: "));
  return message;
}

at::Tensor every_value(at::ScalarType dtype) {
  at::Tensor values = at::arange(6, at::kFloat).reshape({2, 3});
  return dtype == at::kBool ? values.remainder(2).to(at::kBool) : values.to(dtype);
}

}  // namespace

TEST_CASE("a file of the Python package is read, every dtype", "[golden]") {
  const SafetensorsFile file(kGolden / "every_dtype.safetensors");
  const std::map<std::string, at::ScalarType> dtypes{{"F64", at::kDouble},         {"F32", at::kFloat},        {"F16", at::kHalf},
                                                     {"BF16", at::kBFloat16},      {"I64", at::kLong},         {"I32", at::kInt},
                                                     {"I16", at::kShort},          {"I8", at::kChar},          {"U64", at::kUInt64},
                                                     {"U32", at::kUInt32},         {"U16", at::kUInt16},       {"U8", at::kByte},
                                                     {"BOOL", at::kBool},          {"C64", at::kComplexFloat}, {"F8_E4M3", at::kFloat8_e4m3fn},
                                                     {"F8_E5M2", at::kFloat8_e5m2}};
  for (const auto& [name, dtype] : dtypes) {
    INFO(name);
    const at::Tensor tensor = file.tensor(name);
    CHECK(tensor.scalar_type() == dtype);
    CHECK(tensor.sizes() == at::IntArrayRef{2, 3});
    const auto target = dtype == at::kComplexFloat ? at::kComplexFloat : at::kDouble;
    CHECK(at::equal(tensor.to(target), every_value(dtype == at::kBool ? at::kBool : target).to(target)));
  }
  CHECK(file.tensor("scalar").dim() == 0);
  CHECK(file.tensor("scalar").item<float>() == 7);
  CHECK(file.tensor("empty").sizes() == at::IntArrayRef{0, 3});
  CHECK(file.names().size() == dtypes.size() + 2);
  CHECK(file.metadata() == Metadata{{"format", "pt"}, {"note", "grüße \"quoted\""}});
}

TEST_CASE("what is written is read back, the same tensors give the same bytes", "[unit]") {
  test::TemporaryFolder folder;
  NamedTensors tensors;
  for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort, at::kChar, at::kByte, at::kBool, at::kUInt16,
                           at::kUInt32, at::kUInt64, at::kFloat8_e4m3fn, at::kFloat8_e5m2, at::kComplexFloat}) {
    tensors[at::toString(dtype)] = every_value(dtype);
  }
  tensors["Float8_e8m0fnu"] = at::arange(6, at::kByte).view(at::kFloat8_e8m0fnu);
  tensors["transposed"] = at::arange(6, at::kFloat).reshape({2, 3}).t();
  tensors["a \"quote\" / ü"] = at::full({3}, 5, at::kByte);  // three bytes: what follows is unaligned
  tensors["scalar"] = at::scalar_tensor(2.5);
  tensors["empty"] = at::empty({4, 0});
  const Metadata metadata{{"kind", "test"}, {"line", "a\nb"}};
  save_safetensors(folder / "a.safetensors", tensors, metadata);
  save_safetensors(folder / "b.safetensors", tensors, metadata);
  CHECK(read_text_file(folder / "a.safetensors") == read_text_file(folder / "b.safetensors"));

  const NamedTensors read = load_safetensors(folder / "a.safetensors");
  REQUIRE(read.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    INFO(name);
    const at::Tensor& got = read.at(name);
    CHECK(got.scalar_type() == tensor.scalar_type());
    CHECK(got.sizes() == tensor.sizes());
    if (tensor.dim() > 0 && tensor.numel() > 0) { CHECK(at::equal(got.contiguous().view(at::kByte), tensor.contiguous().view(at::kByte))); }
  }
  CHECK(read.at("scalar").item<float>() == 2.5);
  CHECK(SafetensorsFile(folder / "a.safetensors").metadata() == metadata);
}

TEST_CASE("the written header is padded to eight bytes and the data are in name order", "[unit]") {
  test::TemporaryFolder folder;
  save_safetensors(folder / "a.safetensors", {{"b", at::full({2}, 2, at::kByte)}, {"a", at::full({1}, 1, at::kByte)}});
  const std::string bytes = read_text_file(folder / "a.safetensors");
  const auto header_size = static_cast<unsigned char>(bytes[0]);
  CHECK(header_size % 8 == 0);
  CHECK(bytes.substr(8 + header_size) == "\1\2\2");
}

TEST_CASE("tensors are views that keep the mapping alive and never change the file", "[unit]") {
  test::TemporaryFolder folder;
  save_safetensors(folder / "a.safetensors", {{"x", at::arange(1000, at::kFloat)}});
  const std::string before = read_text_file(folder / "a.safetensors");
  at::Tensor x;
  {
    const SafetensorsFile file(folder / "a.safetensors");
    x = file.tensor("x");
    CHECK(x.data_ptr() == file.tensor("x").data_ptr());
  }
  CHECK(at::equal(x, at::arange(1000, at::kFloat)));
  x.mul_(2);
  CHECK(x[999].item<float>() == 1998);
  CHECK(read_text_file(folder / "a.safetensors") == before);
  std::filesystem::remove(folder / "a.safetensors");
  CHECK(x.sum().item<float>() == 999000);
}

TEST_CASE("unaligned data are copied", "[unit]") {
  test::TemporaryFolder folder;
  const auto path = file_with(folder,
                              R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                              R"("b":{"dtype":"I32","shape":[2],"data_offsets":[1,9]}})",
                              9);
  const at::Tensor b = SafetensorsFile(path).tensor("b");
  CHECK(reinterpret_cast<uintptr_t>(b.data_ptr()) % 4 == 0);
  CHECK(b[0].item<int>() == 0x04030201);
  CHECK(b[1].item<int>() == 0x08070605);
}

TEST_CASE("a sharded checkpoint is read from its index and from its folder", "[golden]") {
  for (const auto& path : {kGolden / "sharded", kGolden / "sharded" / "model.safetensors.index.json"}) {
    const NamedTensors tensors = load_safetensors(path);
    REQUIRE(tensors.size() == 3);
    CHECK(at::equal(tensors.at("a.weight"), at::arange(6, at::kFloat).reshape({2, 3})));
    CHECK(at::equal(tensors.at("b.weight"), at::arange(4, at::kFloat).to(at::kHalf)));
    CHECK(at::equal(tensors.at("c.bias"), at::arange(3, at::kLong)));
  }
}

TEST_CASE("a folder is searched for its one file", "[unit]") {
  test::TemporaryFolder folder;
  const auto save = [&](const std::string& name, float value) { save_safetensors(folder / name, {{"x", at::scalar_tensor(value)}}); };
  const auto load = [&] { return load_safetensors(folder.path).at("x").item<float>(); };
  CHECK_THAT(message_of(load), ContainsSubstring("holds no safetensors file (looked for diffusion_pytorch_model"));
  save("any.safetensors", 1);
  CHECK(load() == 1);
  save("other.safetensors", 2);
  CHECK_THAT(message_of(load), ContainsSubstring("holds several candidates: any.safetensors, other.safetensors; name one of them"));
  save("model.safetensors", 3);
  CHECK(load() == 3);
  save("diffusion_pytorch_model.safetensors", 4);
  CHECK_THAT(message_of(load), ContainsSubstring("diffusion_pytorch_model.safetensors, model.safetensors; name one"));
  std::filesystem::remove(folder / "model.safetensors");
  write_file_atomically(folder / "pytorch_model.bin.index.json", "{}");
  CHECK(load() == 4);
}

TEST_CASE("damaged indexes", "[unit]") {
  test::TemporaryFolder folder;
  save_safetensors(folder / "one.safetensors", {{"x", at::zeros({1})}});
  const auto problem = [&](const std::string& text) {
    write_file_atomically(folder / "m.index.json", text);
    const auto load = [&] { load_safetensors(folder / "m.index.json"); };
    CHECK_THROWS_AS(load(), InputError);
    return message_of(load);
  };
  CHECK_THAT(problem(R"({"weight_map":{"x":"one.safetensors","y":"two.safetensors","z":"three.safetensors"}})"),
             ContainsSubstring("m.index.json: names shards that are missing beside it: three.safetensors, two.safetensors"));
  CHECK_THAT(problem(R"({"weight_map":{"x":"one.safetensors","y":"one.safetensors"}})"),
             ContainsSubstring("says that tensor 'y' is in one.safetensors, which does not hold it"));
  CHECK_THAT(problem(R"({"weight_map":{"x":"one.safetensors","x":"one.safetensors"}})"), ContainsSubstring("the key 'x' appears twice"));
  CHECK_THAT(problem(R"({"weight_map":{"x":"../one.safetensors"}})"),
             ContainsSubstring("is '../one.safetensors': wanted the plain name of a file beside the index"));
  CHECK_THAT(problem(R"({"weight_map":{"x":3}})"), ContainsSubstring("weight_map of 'x' is not a file name"));
  CHECK_THAT(problem(R"({"weights":{}})"), ContainsSubstring("has no object \"weight_map\""));
  CHECK_THAT(problem(R"({"weight_map":)"), ContainsSubstring("is not valid JSON"));
  CHECK_THAT(problem(""), ContainsSubstring("is not valid JSON"));
}

TEST_CASE("damaged headers", "[unit]") {
  const auto entry = [](const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
  };
  const std::string a = entry("a", "F32", "[2]", "[0,8]");
  CHECK_THAT(problem_with("{" + a + "}", 7), ContainsSubstring("tensor 'a': data_offsets [0, 8] reach past the end of the "
                                                               "file, which has 7 bytes of data; it was cut short"));
  CHECK_THAT(problem_with("{" + a + "}", 9), ContainsSubstring("1 bytes follow the last tensor: the data has 9 bytes, "
                                                               "the header names 8"));
  CHECK_THAT(problem_with("{" + a + "," + a + "}", 8), ContainsSubstring("the name 'a' appears twice"));
  CHECK_THAT(problem_with("{" + a + "," + entry("b", "F32", "[2]", "[4,12]") + "}", 12),
             ContainsSubstring("tensors 'a' and 'b' overlap at byte 4 of the data"));
  CHECK_THAT(problem_with("{" + a + "," + entry("b", "F32", "[2]", "[12,20]") + "}", 20),
             ContainsSubstring("there is a hole in the data, bytes 8 to 12, before tensor 'b'"));
  CHECK_THAT(problem_with("{" + entry("a", "F32", "[3]", "[0,8]") + "}", 8),
             ContainsSubstring("tensor 'a': shape [3] x F32 needs 12 bytes, but data_offsets [0, 8] hold 8"));
  CHECK_THAT(problem_with("{" + entry("a", "F33", "[2]", "[0,8]") + "}", 8),
             ContainsSubstring("tensor 'a' has the unknown dtype 'F33' (known: F64, F32, F16, BF16"));
  CHECK_THAT(problem_with("{" + entry("a", "F32", "[2]", "[8,0]") + "}", 8), ContainsSubstring("[8, 0] run backwards"));
  CHECK_THAT(problem_with("{" + entry("a", "U8", "[4294967296,4294967296]", "[0,0]") + "}", 0),
             ContainsSubstring("tensor 'a': the byte count of shape [4294967296, 4294967296] x U8 overflows"));
  CHECK_THAT(problem_with("{" + entry("a", "U8", "[0,4294967296,4294967296]", "[0,0]") + "}", 0), ContainsSubstring("overflows"));
  CHECK_THAT(problem_with("{" + entry("a", "U8", "[18446744073709551615]", "[0,0]") + "}", 0),
             ContainsSubstring("the dimension 18446744073709551615 is too large"));
  CHECK_THAT(problem_with("{" + entry("a", "U8", "[99999999999999999999]", "[0,0]") + "}", 0), ContainsSubstring("which is no integer below 2^64"));
  CHECK_THAT(problem_with("{" + entry("a", "U8", "[-1]", "[0,0]") + "}", 0), ContainsSubstring("the negative number -1"));
  CHECK_THAT(problem_with("{" + entry("a", "U8", "[1.5]", "[0,1]") + "}", 1), ContainsSubstring("the number 1.5"));
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  CHECK_THAT(problem_with("{" + entry("a", "U8", "[" + ones + "]", "[0,1]") + "}", 1), ContainsSubstring("has more than 64 dimensions"));
  CHECK_THAT(problem_with("{" + entry("a", "U8", "[1]", "[0]") + "}", 1), ContainsSubstring("data_offsets has 1 numbers"));
  CHECK_THAT(problem_with("{" + entry("a", "U8", "[1]", "[0,1,2]") + "}", 1), ContainsSubstring("more than two numbers"));
  CHECK_THAT(problem_with(R"({"a":{"dtype":"U8","shape":[1]}})", 1), ContainsSubstring("tensor 'a' has no data_offsets"));
  CHECK_THAT(problem_with(R"({"a":{"dtype":"U8","dtype":"U8"}})", 1), ContainsSubstring("has the key dtype twice"));
  CHECK_THAT(problem_with(R"({"a":{"stride":1}})", 1), ContainsSubstring("tensor 'a' has the unknown key 'stride'"));
  CHECK_THAT(problem_with(R"({"a":{"dtype":null}})", 1), ContainsSubstring("the header has null in tensor 'a' under 'dtype'"));
  CHECK_THAT(problem_with(R"({"a":[1]})", 1), ContainsSubstring("the header has an array as tensor 'a', wanted an object"));
  CHECK_THAT(problem_with(R"({"a":{"shape":[[1]]}})", 1), ContainsSubstring("the header has an array"));
  CHECK_THAT(problem_with(R"({"__metadata__":{"k":1}})", 0), ContainsSubstring("in __metadata__, wanted text for 'k'"));
  CHECK_THAT(problem_with(R"({"__metadata__":{"k":"1","k":"2"}})", 0), ContainsSubstring("metadata key 'k' appears twice"));
  CHECK_THAT(problem_with(R"({"__metadata__":{},"__metadata__":{}})", 0), ContainsSubstring("'__metadata__' appears twice"));
  CHECK_THAT(problem_with("{\"a\":", 0), ContainsSubstring("the header is not valid JSON at its byte"));
  CHECK_THAT(problem_with("{\"\xff\":1}", 0), ContainsSubstring("not valid JSON"));
  CHECK_THAT(problem_with("[]", 0), ContainsSubstring("does not start with '{'"));
  CHECK_THAT(problem_with("", 0), ContainsSubstring("does not start with '{'"));
}

TEST_CASE("cut and foreign safetensors files", "[unit]") {
  test::TemporaryFolder folder;
  const auto problem = [&](const std::string& bytes) {
    write_file_atomically(folder / "x.safetensors", bytes);
    return message_of([&] { SafetensorsFile file(folder / "x.safetensors"); });
  };
  CHECK_THAT(problem(""), ContainsSubstring("has 0 bytes, too few for a safetensors file"));
  CHECK_THAT(problem(std::string("\x40\0\0\0\0\0\0\0{\"a\"", 12)),
             ContainsSubstring("the header is cut short: it should have 64 bytes, and 4 follow its size"));
  CHECK_THAT(problem("PK\3\4 surely no tensors in here"), ContainsSubstring("is larger than 100000000 bytes"));
  CHECK_THAT(problem(std::string(8, '\xff')), ContainsSubstring("header size 18446744073709551615 is larger"));
  CHECK_THAT(message_of([&] { SafetensorsFile file(folder / "none.safetensors"); }), ContainsSubstring("none.safetensors: cannot be opened: No such file"));
  CHECK_THAT(message_of([&] { SafetensorsFile file(folder.path); }), ContainsSubstring("is not a regular file"));

  // Every proper beginning of a good file is refused.
  const std::string whole = read_text_file(kGolden / "every_dtype.safetensors");
  for (size_t size = 0; size < whole.size(); size += 7) {
    INFO(size);
    CHECK_FALSE(problem(whole.substr(0, size)).empty());
  }
}

TEST_CASE("tensors that are not there, and BOOL bytes that are neither 0 nor 1", "[unit]") {
  test::TemporaryFolder folder;
  const SafetensorsFile file(file_with(folder, R"({"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", 3));
  CHECK_FALSE(file.contains("b"));
  CHECK_THAT(message_of([&] { file.tensor("b"); }), ContainsSubstring("holds no tensor 'b'"));
  CHECK_THAT(message_of([&] { file.tensor("a"); }), ContainsSubstring("tensor 'a' is BOOL, but its byte 2 is neither 0 nor 1"));
}

TEST_CASE("the writer refuses what the format lacks", "[unit]") {
  test::TemporaryFolder folder;
  const auto save = [&](const NamedTensors& tensors) { return message_of([&] { save_safetensors(folder / "a.safetensors", tensors); }); };
  CHECK_THAT(save({{"__metadata__", at::zeros({1})}}), ContainsSubstring("cannot have the name __metadata__"));
  CHECK_THAT(save({{"x", at::zeros({1}, at::kComplexDouble)}}), ContainsSubstring("'x' has the dtype ComplexDouble"));
  CHECK_THAT(save({{"x", at::Tensor()}}), ContainsSubstring("'x' is undefined or sparse"));
  CHECK_THAT(save({{"\xff", at::zeros({1})}}), ContainsSubstring("not UTF-8"));
  CHECK(std::filesystem::is_empty(folder.path));
  CHECK_THAT(message_of([&] { save_safetensors(folder / "none" / "a.safetensors", {}); }), ContainsSubstring("cannot be created: No such file or directory"));
}
