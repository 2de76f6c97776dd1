/*
 * The CUDA library: the functions of assay.h on a device.
 *
 * It has assay_abi_version, assay_build_id, assay_last_error, assay_struct_layout,
 * assay_stream_destroy and the kernels of assay.h with their workspace queries, but neither
 * assay_grok nor assay_grok_grid; no tiers and no assay_stream_create, in whose place stands
 * assay_cuda_stream_create. What changes:
 *   - Pointers to arrays, those within structs too, and the workspace are addresses that the
 *     stream's device can read and write. The structs themselves are read on the host, before the
 *     call returns.
 *   - A call returns when its work is queued. Work of one stream is done in the order of the calls;
 *     assay_cuda_stream_wait waits for it. Arrays and workspace must live until then, and two
 *     calls that may run at the same time need a workspace each.
 *   - stream NULL is the default stream of the calling thread's device.
 *   - What arrays hold is not looked at before the work begins: a target outside of [0,V) makes its
 *     row's log_prob and gradient NaN, lists of forbidden ids that do not ascend forbid less, a
 *     group above group_count is none, and a byte of families counts where it is not 0. Nothing is
 *     written of a sequence whose start is outside of [0,T), nor of those behind it; nor of one
 *     whose past is not there; nor of a patched row whose row or source is not there.
 *   - Nothing is allocated, and no memory is copied between host and device.
 *   - Bits depend on the library and the row's own inputs, and neither on the stream nor on the
 *     device's number of multiprocessors.
 *   - A coarse table is not used.
 */
#ifndef ASSAY_CUDA_H
#define ASSAY_CUDA_H

#include "assay.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The device or its driver refused; beside the codes of assay.h. */
#define ASSAY_ERROR_DEVICE (-7)

/*
 * Makes a stream of this library out of one of the driver's, which stays the caller's and outlives
 * it.
 *   device  its number for the CUDA runtime; work is done in its primary context
 *   handle  a CUstream of that context; NULL: the default stream
 *   stream  out; to be released with assay_stream_destroy, which does not wait
 */
ASSAY_API int32_t assay_cuda_stream_create(int32_t device, void *handle,
                                           struct assay_stream **stream);

/*
 * Waits until all work of the stream is done.
 *   stream  NULL: the default stream of the calling thread's device
 */
ASSAY_API int32_t assay_cuda_stream_wait(struct assay_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
