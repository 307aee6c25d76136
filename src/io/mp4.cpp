#include "io/mp4.h"

#include "core/error.h"

#if defined(LINDEN_HAS_FFMPEG)

#include <ATen/ATen.h>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

#include <fmt/ostream.h>

#include <memory>

#include "io/pending_file.h"

namespace linden {
namespace {

// The best first. The last one is part of libavcodec itself.
constexpr const char* kEncoders[] = {"libx264", "libopenh264", "mpeg4"};

const AVCodec* find_encoder() {
  for (const char* name : kEncoders)
    if (const AVCodec* codec = avcodec_find_encoder_by_name(name)) return codec;
  return nullptr;
}

void require(int status, const char* action) {
  if (status >= 0) return;
  char reason[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(status, reason, sizeof reason);
  throw std::runtime_error(fmt::format("mp4: FFmpeg cannot {}: {}", action, reason));
}
template <class T>
T* require_made(T* object, const char* action) {
  if (!object) throw std::runtime_error(fmt::format("mp4: FFmpeg cannot {}", action));
  return object;
}

// [F, C, Y, X] -> [F, rows, columns, 3], rows and columns even.
at::Tensor even_rgb(const at::Tensor& frames) {
  const auto doubled_end = [](const at::Tensor& x, int64_t dim) { return x.size(dim) % 2 == 0 ? x : at::cat({x, x.narrow(dim, x.size(dim) - 1, 1)}, dim); };
  const at::Tensor even = doubled_end(doubled_end(frames.cpu(), 2), 3);
  return even.expand({even.size(0), 3, even.size(2), even.size(3)}).permute({0, 2, 3, 1}).contiguous();
}

// One stream of pictures into memory.
class Encoder {
 public:
  Encoder(int64_t rows, int64_t columns, int64_t frame_ms) {
    av_log_set_level(AV_LOG_ERROR);  // the encoders tell statistics otherwise
    const AVCodec* codec = require_made(find_encoder(), "find an encoder (libx264, libopenh264 or mpeg4)");
    AVFormatContext* format = nullptr;
    require(avformat_alloc_output_context2(&format, nullptr, "mp4", nullptr), "start an MP4 file");
    format_.reset(format);
    require(avio_open_dyn_buf(&format->pb), "start a buffer");
    codec_.reset(require_made(avcodec_alloc_context3(codec), "start the encoder"));
    codec_->width = static_cast<int>(columns);
    codec_->height = static_cast<int>(rows);
    codec_->pix_fmt = AV_PIX_FMT_YUV420P;
    codec_->time_base = {static_cast<int>(frame_ms), 1000};
    codec_->framerate = {1000, static_cast<int>(frame_ms)};
    codec_->thread_count = 1;  // the same bytes on any machine with the same libraries
    codec_->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_QSCALE;
    codec_->global_quality = 3 * FF_QP2LAMBDA;      // mpeg4; 1 is best, 31 worst
    av_opt_set(codec_->priv_data, "crf", "16", 0);  // libx264; other encoders do not know it
    require(avcodec_open2(codec_.get(), codec, nullptr), "open the encoder");
    format->flags |= AVFMT_FLAG_BITEXACT;  // no date, no version
    stream_ = require_made(avformat_new_stream(format, nullptr), "add a stream");
    stream_->time_base = codec_->time_base;
    stream_->avg_frame_rate = codec_->framerate;
    require(avcodec_parameters_from_context(stream_->codecpar, codec_.get()), "describe the stream");
    require(avformat_write_header(format, nullptr), "write the header");
    scaler_.reset(require_made(sws_getContext(codec_->width, codec_->height, AV_PIX_FMT_RGB24, codec_->width, codec_->height, AV_PIX_FMT_YUV420P, SWS_BICUBIC,
                                              nullptr, nullptr, nullptr),
                               "convert colours"));
    frame_.reset(require_made(av_frame_alloc(), "make a frame"));
    frame_->format = codec_->pix_fmt;
    frame_->width = codec_->width;
    frame_->height = codec_->height;
    require(av_frame_get_buffer(frame_.get(), 0), "make a frame");
    packet_.reset(require_made(av_packet_alloc(), "make a packet"));
  }
  ~Encoder() {
    if (!format_ || !format_->pb) return;
    uint8_t* bytes = nullptr;
    avio_close_dyn_buf(format_->pb, &bytes);
    av_free(bytes);
  }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  void add(const at::Tensor& rgb) {  // [rows, columns, 3]
    require(av_frame_make_writable(frame_.get()), "reuse a frame");
    const uint8_t* pixels[] = {rgb.const_data_ptr<uint8_t>()};
    const int stride[] = {3 * codec_->width};
    require(sws_scale(scaler_.get(), pixels, stride, 0, codec_->height, frame_->data, frame_->linesize), "convert a frame");
    frame_->pts = next_++;
    frame_->quality = codec_->global_quality;
    send(frame_.get());
  }
  void finish_into(PendingFile& file) {
    send(nullptr);
    require(av_write_trailer(format_.get()), "finish the file");
    uint8_t* bytes = nullptr;
    const int count = avio_close_dyn_buf(format_->pb, &bytes);
    format_->pb = nullptr;
    const std::unique_ptr<uint8_t, void (*)(void*)> owner(bytes, av_free);
    require(count, "close the buffer");
    file.write(bytes, static_cast<size_t>(count));
  }

 private:
  void send(const AVFrame* frame) {  // nullptr: no more
    require(avcodec_send_frame(codec_.get(), frame), "encode a frame");
    while (true) {
      const int status = avcodec_receive_packet(codec_.get(), packet_.get());
      if (status == AVERROR(EAGAIN) || status == AVERROR_EOF) return;
      require(status, "encode a frame");
      packet_->stream_index = stream_->index;
      packet_->duration = 1;
      av_packet_rescale_ts(packet_.get(), codec_->time_base, stream_->time_base);
      require(av_interleaved_write_frame(format_.get(), packet_.get()), "write a frame");
    }
  }

  struct Free {
    void operator()(AVFormatContext* x) const { avformat_free_context(x); }
    void operator()(AVCodecContext* x) const { avcodec_free_context(&x); }
    void operator()(SwsContext* x) const { sws_freeContext(x); }
    void operator()(AVFrame* x) const { av_frame_free(&x); }
    void operator()(AVPacket* x) const { av_packet_free(&x); }
  };
  std::unique_ptr<AVFormatContext, Free> format_;
  std::unique_ptr<AVCodecContext, Free> codec_;
  std::unique_ptr<SwsContext, Free> scaler_;
  std::unique_ptr<AVFrame, Free> frame_;
  std::unique_ptr<AVPacket, Free> packet_;
  AVStream* stream_ = nullptr;  // the format's
  int64_t next_ = 0;
};

}  // namespace

std::string mp4_library() {
  const AVCodec* codec = find_encoder();
  if (!codec) return "";
  const unsigned version = avcodec_version();
  return fmt::format("libavcodec {}.{}.{}, {}", AV_VERSION_MAJOR(version), AV_VERSION_MINOR(version), AV_VERSION_MICRO(version), codec->name);
}

std::string no_mp4_reason() { return find_encoder() ? "" : "the installed libavcodec has no encoder for it (libx264, libopenh264 or mpeg4)"; }

void write_mp4(const std::filesystem::path& path, const at::Tensor& frames, int64_t frame_ms) {
  check(frames.dim() == 4 && frames.size(0) >= 1 && (frames.size(1) == 1 || frames.size(1) == 3) && frames.scalar_type() == at::kByte && frames.numel() > 0,
        "write_mp4: wanted [F, 1 or 3, Y, X] of u8 with F > 0, got {}", fmt::streamed(frames.sizes()));
  check(frame_ms >= 1 && frame_ms <= 65535, "write_mp4: frame_ms is {} (allowed 1..65535)", frame_ms);
  const at::Tensor rgb = even_rgb(frames);
  PendingFile file(path);
  Encoder encoder(rgb.size(1), rgb.size(2), frame_ms);
  for (const at::Tensor& frame : rgb.unbind(0)) encoder.add(frame);
  encoder.finish_into(file);
  file.commit();
}

}  // namespace linden

#else

namespace linden {

std::string mp4_library() { return ""; }
std::string no_mp4_reason() {
  return "this linden was built without FFmpeg's libraries (apt-get install libavformat-dev libavcodec-dev libswscale-dev pkg-config, then build again)";
}
void write_mp4(const std::filesystem::path& path, const at::Tensor&, int64_t) {
  throw std::runtime_error(fmt::format("{}: cannot be written: {}", path.string(), no_mp4_reason()));
}

}  // namespace linden

#endif
