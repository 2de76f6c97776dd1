// Streams of the CUDA library.
#include <memory>

#include "device.h"

extern "C" int32_t assay_cuda_stream_create(int32_t device, void* handle,
                                            struct assay_stream** stream) {
  return assay::guard([&] {
    assay::check_pointer("assay_cuda_stream_create", "stream", stream);
    auto made = std::make_unique<assay_stream>();
    made->device = device;
    made->handle = static_cast<cudaStream_t>(handle);
    const assay::OnDevice on(made.get());
    *stream = made.release();
  });
}

extern "C" void assay_stream_destroy(struct assay_stream* stream) { delete stream; }

extern "C" int32_t assay_cuda_stream_wait(struct assay_stream* stream) {
  return assay::guard([&] {
    const assay::OnDevice on(stream);
    assay::check_device("assay_cuda_stream_wait", cudaStreamSynchronize(on.handle));
  });
}
