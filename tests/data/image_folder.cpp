#include "data/image_folder.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "core/error.h"
#include "core/files.h"
#include "data/checksum_manifest.h"
#include "io/png.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;
using linden::test::run_shell;
using linden::test::TemporaryFolder;

namespace {

namespace fs = std::filesystem;

at::Tensor image(int64_t value, int64_t rows = 4, int64_t channels = 3) { return at::full({channels, rows, 5}, value, at::kByte); }

// cat/1.png, cat/2.png, dog/0.png.
void write_classes(const fs::path& folder) {
  fs::create_directories(folder / "dog");
  fs::create_directories(folder / "cat");
  write_png(folder / "dog/0.png", image(30));
  write_png(folder / "cat/2.png", image(20));
  write_png(folder / "cat/1.png", image(10));
}

}  // namespace

TEST_CASE("class folders are numbered by name", "[unit]") {
  TemporaryFolder folder;
  write_classes(folder.path);
  fs::create_directories(folder / ".cache");
  write_file_atomically(folder / "cat/notes.txt", "passed over");
  const ImageFolder listed = list_image_folder(folder.path);
  CHECK(listed.class_names == std::vector<std::string>{"cat", "dog"});
  CHECK(listed.files == std::vector<std::string>{"cat/1.png", "cat/2.png", "dog/0.png"});
  CHECK(image_shape(listed) == std::vector<int64_t>{3, 4, 5});
  const LabelledImages set = load_image_folder(listed);
  CHECK(set.images.scalar_type() == at::kByte);
  CHECK(at::equal(set.labels, at::tensor({0, 0, 1}, at::kLong)));
  CHECK(at::equal(set.images.select(1, 0).select(1, 0).select(1, 0), at::tensor({10, 20, 30}, at::kByte)));
}

TEST_CASE("images in the folder itself have no labels", "[unit]") {
  TemporaryFolder folder;
  write_png(folder / "b.png", image(2, 4, 1));
  write_png(folder / "a.png", image(1, 4, 1));
  const LabelledImages set = load_image_folder(list_image_folder(folder.path));
  CHECK(set.images.sizes() == at::IntArrayRef({2, 1, 4, 5}));
  CHECK(set.images[0][0][0][0].item<int64_t>() == 1);
  CHECK_FALSE(set.labels.defined());
}

TEST_CASE("image folders that cannot be used", "[unit]") {
  TemporaryFolder folder;
  const std::string path = folder.path.string();
  const auto refusal = [&] {
    CHECK_THROWS_AS(load_image_folder(list_image_folder(folder.path)), InputError);
    return message_of([&] { load_image_folder(list_image_folder(folder.path)); });
  };
  SECTION("empty") { CHECK(refusal() == path + ": no PNG file in this folder or in class folders below it"); }
  SECTION("not there") {
    CHECK(message_of([&] { list_image_folder(folder / "no"); }) == path + "/no: no such folder");
  }
  SECTION("mixed size") {
    write_classes(folder.path);
    write_png(folder / "dog/1.png", image(1, 7));
    CHECK(refusal() == path + "/dog/1.png: this image is [3, 7, 5], but cat/1.png is [3, 4, 5]: all images of a folder must have one size");
    write_png(folder / "dog/1.png", image(1, 4, 1));
    CHECK(refusal() == path + "/dog/1.png: this image is [1, 4, 5], but cat/1.png is [3, 4, 5]: all images of a folder must have one size");
  }
  SECTION("text called .png") {
    write_classes(folder.path);
    write_file_atomically(folder / "cat/3.png", "this is text");
    CHECK(refusal() == path + "/cat/3.png: is not a PNG file");
  }
  SECTION("a class without an image") {
    write_classes(folder.path);
    fs::create_directories(folder / "bird");
    CHECK(refusal() == path + ": the class folder bird holds no PNG file; remove it, or put its images there");
  }
  SECTION("images on both levels") {
    write_classes(folder.path);
    write_png(folder / "x.png", image(1));
    CHECK(refusal() == path + ": PNG files lie both in the folder itself (x.png) and in its sub-folder cat: which of them are meant?");
  }
}

TEST_CASE("SHA256SUMS: written as sha256sum checks it, and verified", "[unit]") {
  TemporaryFolder folder;
  write_classes(folder.path);
  const ImageFolder listed = list_image_folder(folder.path);
  verify_checksums(folder.path, listed.files);  // no list: nothing to compare with
  write_checksums(folder.path, listed.files);
  verify_checksums(folder.path, listed.files);
  const auto checked = run_shell("cd " + folder.path.string() + " && sha256sum --strict -c SHA256SUMS");
  CHECK(checked.exit_code == 0);
  CHECK(checked.output == "cat/1.png: OK\ncat/2.png: OK\ndog/0.png: OK\n");
  REQUIRE(run_shell("cd " + folder.path.string() + " && sha256sum -b cat/*.png ./dog/*.png > SHA256SUMS").exit_code == 0);
  verify_checksums(folder.path, listed.files);

  const std::string path = folder.path.string(), list = path + "/SHA256SUMS";
  const auto refusal = [&] {
    CHECK_THROWS_AS(verify_checksums(folder.path, listed.files), InputError);
    return message_of([&] { verify_checksums(folder.path, listed.files); });
  };
  SECTION("a changed file") {
    write_png(folder / "cat/2.png", image(21));
    CHECK_THAT(refusal(), ContainsSubstring(path + "/cat/2.png: its SHA-256 is ") && ContainsSubstring(", wanted ") &&
                              ContainsSubstring(" (" + list + "): the file is damaged or was changed"));
  }
  SECTION("a missing file") {
    fs::remove(folder / "dog/0.png");
    CHECK(refusal() == path + "/dog/0.png: missing, but " + list + " lists it");
  }
  SECTION("a file that is not listed") {
    REQUIRE(run_shell("cd " + path + " && sha256sum cat/*.png > SHA256SUMS").exit_code == 0);
    CHECK(refusal() == path + "/dog/0.png: " + list + " does not list it; remove the image, or write the list anew");
  }
}

TEST_CASE("checksum lists of another form", "[unit]") {
  const std::string sum(64, 'a');
  const auto parse = [](const std::string& text) { return message_of([&] { parse_checksum_manifest(text, "SHA256SUMS"); }); };
  CHECK(parse_checksum_manifest(sum + "  a b.png\n" + sum + " *./c.png\n", "").contains("a b.png"));
  CHECK(parse_checksum_manifest(sum + "  a.png", "").at("a.png") == sum);
  CHECK(parse_checksum_manifest("", "").empty());
  const std::string form = "is not \"<64 hexadecimal digits>  <path>\" as sha256sum writes it";
  CHECK(parse(sum + "  a.png\nhello\n") == "SHA256SUMS: line 2 " + form);
  CHECK(parse(sum.substr(1) + "  a.png\n") == "SHA256SUMS: line 1 " + form);
  CHECK(parse(sum + "  \n") == "SHA256SUMS: line 1 " + form);
  CHECK(parse(sum + "  ../a.png\n") == "SHA256SUMS: line 1 names ../a.png, which is not in this folder");
  CHECK(parse(sum + "  /etc/hosts\n") == "SHA256SUMS: line 1 names /etc/hosts, which is not in this folder");
  CHECK(parse(sum + "  a.png\n" + sum + "  ./a.png\n") == "SHA256SUMS: line 2 names a.png a second time");
}
