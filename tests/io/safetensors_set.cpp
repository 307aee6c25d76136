// Checkpoints in several files, and files written tensor by tensor.
#include "io/safetensors_set.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "core/error.h"
#include "core/files.h"
#include "io/pending_folder.h"
#include "io/safetensors_index.h"
#include "io/safetensors_writer.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

const std::filesystem::path kGolden = "tests/golden/io";

void save(const std::filesystem::path& path, const std::vector<std::string>& names) {
  NamedTensors tensors;
  for (const std::string& name : names) tensors[name] = at::full({2}, static_cast<double>(name.size()));
  save_safetensors(path, tensors);
}

std::string problem_with(const std::filesystem::path& path) {
  CHECK_THROWS_AS(SafetensorsSet(path), InputError);
  return message_of([&] { SafetensorsSet set(path); });
}

}  // namespace

TEST_CASE("a file written anew has the bytes of the reference package", "[golden]") {
  const test::TemporaryFolder folder;
  for (const char* name : {"every_dtype.safetensors", "sharded/model-00001-of-00002.safetensors", "sharded/model-00002-of-00002.safetensors"}) {
    INFO(name);
    save_safetensors(folder / "a.safetensors", load_safetensors(kGolden / name), SafetensorsFile(kGolden / name).metadata());
    CHECK(read_text_file(folder / "a.safetensors") == read_text_file(kGolden / name));
  }
}

TEST_CASE("tensors are written in pieces", "[unit]") {
  const test::TemporaryFolder folder;
  const std::vector<TensorSpec> specs = {{"b", at::kByte, {3}}, {"a", at::kShort, {2, 1}}, {"c", at::kByte, {0}}};
  SafetensorsWriter writer(folder / "x.safetensors", specs, {{"format", "pt"}});
  CHECK(writer.order().front() == specs[1]);  // two bytes an element come before one
  writer.write("\1");
  writer.write(
      std::string_view("\0\2\0"
                       "abc",
                       6));
  CHECK(!std::filesystem::exists(folder / "x.safetensors"));
  CHECK_THAT(message_of([&] { writer.write("d"); }), ContainsSubstring("x.safetensors: 1 bytes too many"));
  writer.commit();
  const SafetensorsSet set(folder / "x.safetensors");
  CHECK(set.names() == std::vector<std::string>{"a", "b", "c"});
  CHECK(set.spec("a") == specs[1]);
  CHECK(set.bytes("b") == "abc");
  set.release_pages();
  CHECK(set.bytes("b") == "abc");
  CHECK(at::equal(set.tensor("a"), at::tensor({1, 2}, at::kShort).view({2, 1})));

  SafetensorsWriter early(folder / "y.safetensors", {{"a", at::kByte, {2}}});
  CHECK_THAT(message_of([&] { early.commit(); }), ContainsSubstring("y.safetensors: 2 bytes are missing"));
  const std::vector<TensorSpec> twice = {{"a", at::kByte, {1}}, {"a", at::kShort, {1}}};
  CHECK_THAT(message_of([&] { SafetensorsWriter(folder / "z.safetensors", twice); }), ContainsSubstring("tensor 'a' is to be written twice"));
}

TEST_CASE("shards are filled in order, and a tensor that is too large stands alone", "[unit]") {
  const auto bytes = [](const std::string& name, int64_t size) { return TensorSpec{name, at::kByte, {size}}; };
  const auto shards = split_into_shards({bytes("a", 6), bytes("b", 6), bytes("c", 2), bytes("d", 6), bytes("big", 11), bytes("e", 2), bytes("f", 2)}, 10);
  std::vector<std::string> texts;
  for (const auto& shard : shards) {
    std::string& text = texts.emplace_back();
    for (const auto& tensor : shard) text += tensor.name + " ";
  }
  // As the reference: "big" is closed before the shard that was open, which goes on after it.
  CHECK(texts == std::vector<std::string>{"a ", "b c ", "big ", "d e f "});
  CHECK(shard_file_name("m", 2, 12) == "m-00002-of-00012.safetensors");
  CHECK(shard_file_name("m", 1, 1) == "m.safetensors");
}

TEST_CASE("shards without an index are a checkpoint if all are there", "[unit]") {
  const test::TemporaryFolder folder;
  save(folder / "m-00001-of-00003.safetensors", {"a"});
  save(folder / "m-00003-of-00003.safetensors", {"ccc"});
  CHECK_THAT(problem_with(folder.path), ContainsSubstring("1 of the 3 shards are missing: m-00002-of-00003.safetensors"));
  save(folder / "m-00002-of-00003.safetensors", {"bb", "a"});
  CHECK_THAT(problem_with(folder.path), ContainsSubstring("tensor 'a' is there twice, in m-00001-of-00003.safetensors and in m-00002-of-00003.safetensors"));
  save(folder / "m-00002-of-00003.safetensors", {"bb"});
  const SafetensorsSet set(folder.path);
  CHECK(set.num_files() == 3);
  CHECK(set.path() == folder.path);
  CHECK(set.tensor("ccc")[0].item<float>() == 3);
  save(folder / "other.safetensors", {"d"});
  CHECK_THAT(problem_with(folder.path), ContainsSubstring("holds several candidates"));
}

TEST_CASE("an index and its shards disagree", "[unit]") {
  const test::TemporaryFolder folder;
  save(folder / "one.safetensors", {"x", "y"});
  save(folder / "two.safetensors", {"y", "z"});
  const auto index = [&](const std::string& map) { write_file_atomically(folder / "m.safetensors.index.json", "{\"weight_map\": {" + map + "}}"); };
  index(R"("x": "one.safetensors", "y": "two.safetensors", "z": "two.safetensors")");
  CHECK_THAT(problem_with(folder / "m.safetensors.index.json"),
             ContainsSubstring("tensor 'y' is there twice, in two.safetensors (where weight_map places it) and in one.safetensors"));
  save(folder / "two.safetensors", {"z"});
  index(R"("x": "one.safetensors", "u": "two.safetensors", "v": "two.safetensors", "z": "two.safetensors")");
  CHECK_THAT(problem_with(folder / "m.safetensors.index.json"),
             ContainsSubstring("says that tensors 'u', 'v' are in two.safetensors, which does not hold them"));
  index(R"("x": "one.safetensors", "y": "one.safetensors", "z": "two.safetensors")");
  CHECK(SafetensorsSet(folder / "m.safetensors.index.json").num_tensors() == 3);
  const std::string whole = read_text_file(folder / "two.safetensors");
  write_file_atomically(folder / "two.safetensors", whole.substr(0, whole.size() - 1));
  CHECK_THAT(problem_with(folder / "m.safetensors.index.json"),
             ContainsSubstring("two.safetensors: tensor 'z': data_offsets [0, 8] reach past the end of the file"));
}

TEST_CASE("a folder takes its name when it is whole", "[unit]") {
  const test::TemporaryFolder parent;
  {
    const PendingFolder lost(parent / "a/b");
    write_file_atomically(lost / "x", "x");
  }
  CHECK(std::filesystem::is_empty(parent / "a"));
  PendingFolder kept(parent / "a/b/");
  write_file_atomically(kept / "x", "x");
  CHECK(!std::filesystem::exists(parent / "a/b"));
  kept.commit();
  CHECK(read_text_file(parent / "a/b/x") == "x");
  CHECK_THROWS_AS(PendingFolder(parent / "a/b"), InputError);
}
