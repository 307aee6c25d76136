// Moving digits: a clip is a function of (seed, index), shows what its caption says, and lies over a texture that stays.
#include "data/moving_digits.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>

#include "core/error.h"
#include "io/png.h"
#include "tests/support/support.h"

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

MovingDigitsConfig shipped() {
  MovingDigitsConfig config;
  config.source = "shipped";
  return config;
}

std::vector<int64_t> counted(int64_t count, int64_t first = 0) {
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), first);
  return indices;
}

// The centre of the ink of each frame of a clip over black, (y, x): [F, 2] fp64.
at::Tensor centroids(const at::Tensor& clip) {
  const at::Tensor ink = (clip.to(at::kDouble) + 1) / 2;  // [F, Y, X]
  const at::Tensor mass = ink.sum({1, 2});
  const at::Tensor y = at::arange(clip.size(1), at::kDouble).reshape({1, -1, 1}), x = at::arange(clip.size(2), at::kDouble).reshape({1, 1, -1});
  return at::stack({(ink * y).sum({1, 2}) / mass, (ink * x).sum({1, 2}) / mass}, 1);
}

// The definition, one step after the other: turn round where the next step would leave the frame.
void step_once(int64_t& place, int64_t& direction, int64_t last) {
  if (place + direction < 0 || place + direction > last) direction = -direction;
  place += direction;
}

std::string message_for(const std::function<void(MovingDigitsConfig&)>& change) {
  MovingDigitsConfig config = shipped();
  change(config);
  return message_of([&] { MovingDigits(config, 0); });
}

}  // namespace

TEST_CASE("clips: shapes, range, labels and captions belong together", "[unit]") {
  const MovingDigits data(shipped(), 3);
  const Clips clips = data.clips(counted(200));
  CHECK(clips.video.sizes() == at::IntArrayRef({200, 1, 8, 32, 32}));
  CHECK(clips.video.scalar_type() == at::kFloat);
  CHECK(clips.video.min().item<float>() >= -1.0f);
  CHECK(clips.video.max().item<float>() <= 1.0f);
  CHECK(clips.video.amax({1, 2, 3, 4}).gt(0.5).all().item<bool>());  // every clip has a digit, which is brighter than any cell
  CHECK(clips.digit.scalar_type() == at::kLong);
  CHECK(clips.captions.size() == 200);
  for (int64_t b = 0; b < 200; ++b) {
    const ClipContent content = data.content(b);
    CHECK(clips.digit[b].item<int64_t>() == content.digit);
    CHECK(clips.motion[b].item<int64_t>() == content.motion);
    CHECK(data.sprites().labels[content.sprite].item<int64_t>() == content.digit);
    CHECK(clips.captions[b] == clip_caption(content.digit, content.motion));
  }
  CHECK(at::bincount(clips.digit, {}, 10).min().item<int64_t>() > 5);
  CHECK(at::bincount(clips.motion, {}, 8).min().item<int64_t>() > 8);
  CHECK(clip_caption(3, 5) == "a 3 moving up-left");
  CHECK(data.clips({}).video.sizes() == at::IntArrayRef({0, 1, 8, 32, 32}));
  CHECK_THROWS_AS(data.clips(std::vector<int64_t>{-1}), CheckError);
}

TEST_CASE("a clip does not depend on its batch, the threads or the number of frames", "[unit]") {
  const MovingDigits data(shipped(), 3);
  const at::Tensor all = data.clips(counted(100)).video;
  CHECK(at::equal(MovingDigits(shipped(), 3).clips(counted(100)).video, all));
  CHECK(at::equal(data.clips(std::vector<int64_t>{41}).video[0], all[41]));
  const at::Tensor some = data.clips(std::vector<int64_t>{99, 7, 7}).video;
  CHECK(at::equal(some, at::stack({all[99], all[7], all[7]})));

  const int threads = at::get_num_threads();
  for (const int count : {1, 2}) {
    at::set_num_threads(count);
    CHECK(at::equal(data.clips(counted(100)).video, all));
  }
  at::set_num_threads(threads);

  MovingDigitsConfig longer = shipped();
  longer.frames = 13;
  CHECK(at::equal(MovingDigits(longer, 3).clips(counted(20)).video.slice(2, 0, 8), all.slice(0, 0, 20)));
  CHECK_FALSE(at::equal(MovingDigits(shipped(), 4).clips(counted(1)).video[0], all[0]));
  CHECK_FALSE(at::equal(all[0], all[1]));
}

TEST_CASE("the first clips of a seed are always the same", "[golden]") {
  const MovingDigits data(shipped(), 3);
  const ClipContent first{766, 5, 2, {2, 2}}, second{110, 8, 5, {3, 3}};
  CHECK((data.content(0) == first));
  CHECK((data.content(1) == second));
  CHECK(std::abs(data.clips(std::vector<int64_t>{0}).video.mean().item<double>() + 0.418723) < 1e-6);
}

TEST_CASE("train and test share no digit and no texture", "[unit]") {
  MovingDigitsConfig test_config = shipped();
  test_config.split = "test";
  const MovingDigits train(shipped(), 3), test(test_config, 3);
  CHECK(train.sprites().rows.size() == 800);
  CHECK(test.sprites().rows.size() == 200);
  std::set<int64_t> rows(train.sprites().rows.begin(), train.sprites().rows.end());
  rows.insert(test.sprites().rows.begin(), test.sprites().rows.end());
  CHECK(rows.size() == 1000);
  CHECK(*rows.begin() == 60000);
  CHECK(*rows.rbegin() == 60999);
  std::set<int64_t> shown;
  for (int64_t i = 0; i < 2000; ++i) shown.insert(train.content(i).sprite);
  CHECK(shown.size() > 600);
  CHECK(*shown.rbegin() < 800);
  // The brightness of the texture's cells at the four corners, at least two of which the digit leaves free.
  const auto corners = [](const at::Tensor& video) { return video[0][0][0].slice(0, 0, 32, 31).slice(1, 0, 32, 31); };
  for (int64_t i = 0; i < 20; ++i) {
    const std::vector<int64_t> index = {i};
    CHECK(corners(train.clips(index).video).ne(corners(test.clips(index).video)).sum().item<int64_t>() >= 2);
  }
}

TEST_CASE("the digit moves as its caption says and is reflected at the border", "[unit]") {
  MovingDigitsConfig config = shipped();
  config.frames = 12;
  config.texture_cells = 0;
  const MovingDigits data(config, 3);
  const Clips clips = data.clips(counted(300));
  std::set<int64_t> seen;
  for (int64_t b = 0; b < 300; ++b) {
    const ClipContent content = data.content(b);
    const Motion motion = motions()[content.motion];
    seen.insert(content.motion);
    const at::Tensor centre = centroids(clips.video[b][0]);
    int64_t y = content.start.y, x = content.start.x, dy = motion.dy, dx = motion.dx;
    for (int64_t f = 1; f < config.frames; ++f) {
      const int64_t old_y = y, old_x = x;
      step_once(y, dy, 4);
      step_once(x, dx, 4);
      const at::Tensor moved = (centre[f] - centre[f - 1]) / 4.0;
      REQUIRE(at::allclose(moved, at::tensor({y - old_y, x - old_x}, at::kLong).to(at::kDouble), 0, 1e-4));
      if (f <= 2) REQUIRE(at::allclose(moved, at::tensor({motion.dy, motion.dx}, at::kLong).to(at::kDouble), 0, 1e-4));
    }
    REQUIRE(data.path(content).back() == GridPlace{y, x});
  }
  CHECK(seen.size() == 8);
}

TEST_CASE("every legal start is drawn, and no other", "[unit]") {
  CHECK(start_places(0, 4).highest == 4);
  CHECK(start_places(1, 4).highest == 2);
  CHECK(start_places(-1, 4).lowest == 2);
  CHECK_THROWS_AS(start_places(1, 1), CheckError);
  MovingDigitsConfig config = shipped();
  config.motions = {"up-left", "right"};
  config.digits = {3, 8};
  const MovingDigits data(config, 3);
  std::set<std::pair<int64_t, int64_t>> diagonal, straight;
  for (int64_t i = 0; i < 1000; ++i) {
    const ClipContent content = data.content(i);
    CHECK((content.digit == 3 || content.digit == 8));
    REQUIRE((content.motion == 5 || content.motion == 0));
    (content.motion == 5 ? diagonal : straight).insert({content.start.y, content.start.x});
  }
  CHECK(diagonal.size() == 3 * 3);
  CHECK(straight.size() == 5 * 3);
  CHECK(diagonal.begin()->first == 2);
  const std::vector<GridPlace> wanted = {{2, 3}, {1, 2}, {0, 1}, {1, 0}, {2, 1}, {3, 2}};
  CHECK((motion_path(motions()[5], {2, 3}, 4, 6) == wanted));
}

TEST_CASE("the texture stays where the digit is not", "[unit]") {
  const MovingDigits data(shipped(), 3);
  for (int64_t index = 0; index < 50; ++index) {
    const at::Tensor clip = data.clips(std::vector<int64_t>{index}).video[0][0];  // [F, Y, X]
    at::Tensor texture = at::full({32, 32}, 9.0f), known = at::zeros({32, 32}, at::kBool);
    const std::vector<GridPlace> path = data.path(data.content(index));
    for (int64_t f = 0; f < 8; ++f) {
      at::Tensor free = at::ones({32, 32}, at::kBool);
      free.narrow(0, path[f].y * 4, 16).narrow(1, path[f].x * 4, 16).fill_(false);
      REQUIRE(at::equal(clip[f].masked_select(free & known), texture.masked_select(free & known)));  // bit for bit
      texture = at::where(free, clip[f], texture);
      known = known | free;
    }
    const at::Tensor values = texture.masked_select(known);
    CHECK(values.min().item<float>() >= -1.0f);
    CHECK(values.max().item<float>() <= -0.2f);  // 2 * 0.4 - 1
    const at::Tensor cells = texture.reshape({8, 4, 8, 4}).transpose(1, 2).reshape({64, 16});
    const at::Tensor whole = known.reshape({8, 4, 8, 4}).transpose(1, 2).reshape({64, 16}).all(1);
    CHECK((cells.amax(1) == cells.amin(1)).masked_select(whole).all().item<bool>());
    CHECK(values.std().item<float>() > 0.1f);
  }
}

TEST_CASE("sprites: the crop around the ink's middle, areas averaged", "[unit]") {
  at::Tensor images = at::full({2, 1, 32, 32}, -1.0f);
  images[0][0].slice(0, 3, 13).slice(1, 20, 30).fill_(1.0f);   // 10 x 10, its middle becomes the crop's
  images[1][0].slice(0, 12, 32).slice(1, 12, 32).fill_(0.0f);  // 20 x 20 in the corner
  const at::Tensor labels = at::tensor({4, 5}, at::kLong);
  const DigitSprites half = cut_sprites({images, labels}, {0, 1}, 10);
  at::Tensor wanted = at::zeros({10, 10});
  wanted.slice(0, 2, 8).slice(1, 2, 8).fill_(1.0f);  // rows 5 .. 14 of 20: pixels 2 and 7 of 10 are half covered
  for (const int64_t edge : {2, 7}) {
    wanted.select(0, edge).mul_(0.5f);
    wanted.select(1, edge).mul_(0.5f);
  }
  CHECK(at::allclose(half.alpha[0], wanted, 0, 1e-6));
  CHECK(at::allclose(half.alpha[1], at::full({10, 10}, 0.5f), 0, 1e-6));
  const DigitSprites full = cut_sprites({images, labels}, {0, 1}, 20);
  CHECK(full.alpha[0].slice(0, 5, 15).slice(1, 5, 15).eq(1).all().item<bool>());
  CHECK(full.alpha[0].sum().item<float>() == 100.0f);
  // Whatever the size, the ink's share of the area stays.
  const DigitSprites scaled = cut_sprites({images, labels}, {0, 1}, 16);
  CHECK(std::abs(scaled.alpha[0].mean().item<float>() - 0.25f) < 1e-6f);

  images[1].fill_(-1.0f);
  CHECK(message_of([&] { cut_sprites({images, labels}, {70, 71}, 16); }) == "digit 71 of MNIST has no ink");
  images[1][0].slice(0, 4, 25).fill_(1.0f);
  CHECK(message_of([&] { cut_sprites({images, labels}, {70, 71}, 16); }) == "digit 71 of MNIST is 21x32 pixels large, at most 20x20 fit");
}

TEST_CASE("every caption becomes ids and comes back", "[unit]") {
  const CaptionTable table = clip_caption_table();
  CHECK(table.num_ids() == 1 + 2 + 10 + 8);
  CHECK(table.max_length() == 4);
  std::vector<std::string> captions = {""};
  for (int64_t digit = 0; digit <= 9; ++digit)
    for (int64_t motion = 0; motion < 8; ++motion) captions.push_back(clip_caption(digit, motion));
  CHECK(std::set<std::string>(captions.begin(), captions.end()).size() == 81);
  const at::Tensor ids = table.encode(captions);
  CHECK(ids.sizes() == at::IntArrayRef({81, 4}));
  CHECK(ids[0].eq(CaptionTable::kPadding).all().item<bool>());
  CHECK(ids.slice(0, 1).gt(CaptionTable::kPadding).all().item<bool>());
  CHECK(table.decode(ids) == captions);
  CHECK(table.encode("a 3") == std::vector<int64_t>{1, 6, 0, 0});
  CHECK(table.decode(std::vector<int64_t>{1, 6, 0, 0}) == "a 3");
  CHECK(table.decode(table.encode("  a  3 ")) == "a 3");
}

TEST_CASE("captions that the table does not hold", "[unit]") {
  const CaptionTable table = clip_caption_table();
  CHECK_THROWS_AS(table.encode("two"), InputError);
  CHECK(message_of([&] { table.encode("a 3 moving up-lfet"); }) ==
        "caption \"a 3 moving up-lfet\": the word \"up-lfet\" is not known; did you mean \"up-left\"?");
  CHECK_THAT(message_of([&] { table.encode("a seven moving up"); }),
             ContainsSubstring("the word \"seven\" is not known; the words are: a, moving, 0, 1,") && ContainsSubstring("up-left, up, up-right"));
  CHECK(message_of([&] { table.encode("a 3 moving up up"); }) == "caption \"a 3 moving up up\": has 5 words, allowed are 4");
  CHECK(message_of([&] { table.decode(std::vector<int64_t>{21}); }) == "CaptionTable::decode: id 21 (allowed 0..20)");
  CHECK(message_of([&] { table.decode(std::vector<int64_t>{1, 0, 2}); }) == "CaptionTable::decode: id 2 stands after padding");
  CHECK_THROWS_AS(table.decode(at::zeros({2, 4})), CheckError);
  CHECK(message_of([] { CaptionTable({"a", "b", "a"}, 2); }) == "CaptionTable: the word \"a\" is there twice");
  CHECK(message_of([] { CaptionTable({"a b"}, 2); }) == "CaptionTable: word 0 is \"a b\", wanted one without spaces");
  CHECK(message_of([] { CaptionTable({"a"}, 0); }) == "CaptionTable: max_length is 0, wanted at least 1");
  CHECK_THROWS_AS(clip_caption(10, 0), CheckError);
}

TEST_CASE("configs of clips that cannot be", "[unit]") {
  using C = MovingDigitsConfig;
  CHECK(message_for([](C&) {}).empty());
  CHECK(message_for([](C& c) { c.size = 12; }) == "data.size is 12, smaller than the digit (data.digit_size 16)");
  CHECK(message_for([](C& c) { c.frames = 0; }) == "data: frames is 0 (allowed: 1..1024)");
  CHECK(message_for([](C& c) { c.step = 0; }) == "data: step is 0 (allowed: 1..1024)");
  CHECK(message_for([](C& c) { c.digit_size = 21; }) == "data: digit_size is 21 (allowed: 4..20)");
  CHECK(message_for([](C& c) { c.digits = {3, 10}; }) == "data: digits is 10 (allowed: 0..9)");
  CHECK(message_for([](C& c) { c.texture_brightness = 1.5; }) == "data: texture_brightness is 1.5 (allowed: 0..1)");
  CHECK(message_for([](C& c) {
          c.motions = {"up", "upleft"};
        }) == "data: motions is \"upleft\", allowed: right, down-right, down, down-left, left, up-left, up, up-right; did you mean \"up-left\"?");
  CHECK(message_for([](C& c) { c.size = 20; }) ==
        "data.size is 20: the digit (16) would leave the frame, since its first 2 steps of 4 pixels are straight; wanted a size of at least 24");
  CHECK(message_for([](C& c) { c.step = 3; }) == "data.step is 3, but the digit has 16 pixels to move in (size 32 - digit_size 16), which is no multiple");
  CHECK(message_for([](C& c) { c.texture_cells = 7; }) == "data.texture_cells is 7, which does not divide the size 32");
  CHECK(message_for([](C& c) { c.source = "cifar"; }) == "data: source is \"cifar\", allowed: mnist, shipped");
  CHECK(message_for([](C& c) { c.split = "valid"; }) == "data: split is \"valid\", allowed: train, test");
  CHECK_THROWS_AS(MovingDigits(
                      [] {
                        C c = shipped();
                        c.frames = 0;
                        return c;
                      }(),
                      0),
                  InputError);
  CHECK(message_of([] { motion_index("upp"); }) == "motion_index: there is no motion \"upp\"");
}

TEST_CASE("clips of the real MNIST", "[unit]") {
  MovingDigitsConfig config;
  config.split = "test";
  if (test::data_folder().empty()) {
    const std::string message = message_of([&] { MovingDigits(config, 0); });
    if (!message.empty()) CHECK_THAT(message, ContainsSubstring("missing; put the four files of MNIST"));
    SKIP("no data folder (LINDEN_DATA)");
  }
  const MovingDigits data(config, 0);
  CHECK(data.sprites().rows.size() == 10000);
  CHECK(data.sprites().rows.front() == 60000);
  const MovingDigits first(shipped(), 0);
  CHECK(at::equal(data.sprites().alpha.slice(0, 0, 800), first.sprites().alpha));
}

TEST_CASE("a clip as a strip of frames", "[unit]") {
  const MovingDigits data(shipped(), 3);
  const at::Tensor video = data.clips(counted(2)).video;
  const at::Tensor sheet = clip_sheet(video, 2, 3);
  CHECK(sheet.sizes() == at::IntArrayRef({1, 2 * 64 + 3, 8 * 64 + 7 * 3}));
  const at::Tensor frame = sheet[0].narrow(0, 67, 64).narrow(1, 5 * 67, 64);  // clip 1, frame 5
  CHECK(at::equal(frame.slice(0, 0, 64, 2).slice(1, 0, 64, 2), (video[1][0][5] + 1).mul(127.5).round().to(at::kByte)));
  CHECK(message_of([] { clip_sheet(at::zeros({2, 1, 4, 4})); }) == "clip_sheet: wanted [B, C, F, Y, X] with B, F > 0, got [2, 1, 4, 4]");
}
