// MP4: where FFmpeg's libraries are built in, the file is a whole MP4 and the pictures come back; where not, the reason is said.
#include "io/mp4.h"

#include <ATen/ATen.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>

#include "core/files.h"
#include "tests/support/support.h"

#if defined(LINDEN_HAS_FFMPEG)
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}
#endif

using namespace linden;
using Catch::Matchers::ContainsSubstring;
using linden::test::message_of;

namespace {

// Grey blocks of eight pixels that move by two a frame: [F, 1, rows, columns].
at::Tensor moving_blocks(int64_t F, int64_t rows, int64_t columns) {
  const at::Tensor f = at::arange(F).view({F, 1, 1, 1}), y = at::arange(rows).view({1, 1, rows, 1}), x = at::arange(columns).view({1, 1, 1, columns});
  return ((x + 2 * f).div(8, "floor") + y.div(8, "floor")).remainder(4).mul(60).add(30).to(at::kByte);
}

#if defined(LINDEN_HAS_FFMPEG)
struct Decoded {
  int width = 0, height = 0;
  double seconds = 0;
  std::vector<at::Tensor> luma;  // [height, width] u8 in the range 16 .. 235
};

Decoded decode(const std::filesystem::path& file) {
  Decoded out;
  AVFormatContext* format = nullptr;
  REQUIRE(avformat_open_input(&format, file.c_str(), nullptr, nullptr) == 0);
  REQUIRE(avformat_find_stream_info(format, nullptr) >= 0);
  REQUIRE(format->nb_streams == 1);
  const AVStream* stream = format->streams[0];
  out.seconds = static_cast<double>(format->duration) / AV_TIME_BASE;
  AVCodecContext* codec = avcodec_alloc_context3(avcodec_find_decoder(stream->codecpar->codec_id));
  REQUIRE(avcodec_parameters_to_context(codec, stream->codecpar) >= 0);
  REQUIRE(avcodec_open2(codec, codec->codec, nullptr) == 0);
  out.width = codec->width, out.height = codec->height;
  AVPacket* packet = av_packet_alloc();
  AVFrame* frame = av_frame_alloc();
  const auto receive = [&] {
    while (avcodec_receive_frame(codec, frame) == 0)
      out.luma.push_back(at::from_blob(frame->data[0], {frame->height, frame->width}, {frame->linesize[0], 1}, at::kByte).clone());
  };
  while (av_read_frame(format, packet) == 0) {
    REQUIRE(avcodec_send_packet(codec, packet) == 0);
    av_packet_unref(packet);
    receive();
  }
  avcodec_send_packet(codec, nullptr);
  receive();
  av_frame_free(&frame);
  av_packet_free(&packet);
  avcodec_free_context(&codec);
  avformat_close_input(&format);
  return out;
}
#endif

}  // namespace

TEST_CASE("an mp4 has its frames, their time and nearly their pixels", "[unit]") {
#if defined(LINDEN_HAS_FFMPEG)
  if (mp4_library().empty()) SKIP(no_mp4_reason());
  test::TemporaryFolder folder;
  const at::Tensor frames = moving_blocks(9, 33, 48);  // an odd number of rows: one is added
  write_mp4(folder / "clip.mp4", frames, 125);
  const Decoded got = decode(folder / "clip.mp4");
  CHECK(got.width == 48);
  CHECK(got.height == 34);
  CHECK(std::abs(got.seconds - 9 * 0.125) < 0.01);
  REQUIRE(got.luma.size() == 9);
  for (size_t f = 0; f < got.luma.size(); ++f) {
    const at::Tensor grey = (got.luma[f].to(at::kFloat) - 16) * (255.0 / 219.0), wanted = frames[static_cast<int64_t>(f)][0].to(at::kFloat);
    INFO("frame " << f);
    CHECK((grey.narrow(0, 0, 33) - wanted).abs().mean().item<double>() < 5);
  }
  const std::string first = read_text_file(folder / "clip.mp4");
  write_mp4(folder / "clip.mp4", frames, 125);
  CHECK(read_text_file(folder / "clip.mp4") == first);  // no date in it
  write_mp4(folder / "colour.mp4", frames.expand({9, 3, 33, 48}), 40);
  CHECK(decode(folder / "colour.mp4").luma.size() == 9);
  write_mp4(folder / "one.mp4", frames.narrow(0, 0, 1), 125);
  CHECK(decode(folder / "one.mp4").luma.size() == 1);
#else
  SKIP(no_mp4_reason());
#endif
}

TEST_CASE("what cannot become an mp4 is refused, and no file is left", "[unit]") {
  test::TemporaryFolder folder;
  if (mp4_library().empty()) {
    CHECK_THAT(message_of([&] { write_mp4(folder / "a.mp4", moving_blocks(2, 16, 16), 125); }),
               ContainsSubstring("a.mp4: cannot be written: ") && ContainsSubstring(no_mp4_reason()));
    CHECK_FALSE(no_mp4_reason().empty());
  } else {
    CHECK(no_mp4_reason().empty());
    CHECK_THAT(message_of([&] { write_mp4(folder / "a.mp4", moving_blocks(2, 16, 16).to(at::kFloat), 125); }),
               ContainsSubstring("wanted [F, 1 or 3, Y, X] of u8"));
    CHECK_THAT(message_of([&] { write_mp4(folder / "a.mp4", moving_blocks(2, 16, 16), 0); }), ContainsSubstring("frame_ms is 0 (allowed 1..65535)"));
    CHECK_THAT(message_of([&] { write_mp4(folder / "no/a.mp4", moving_blocks(2, 16, 16), 125); }), ContainsSubstring("no/a.mp4"));
  }
  CHECK(std::filesystem::is_empty(folder.path));
}
