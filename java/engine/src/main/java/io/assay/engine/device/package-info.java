/**
 * CUDA devices: contexts, memory, streams, events, copies, behind {@link
 * io.assay.engine.device.Gpu}. Only this package knows JCuda, and only one class of it.
 *
 * <p>Of JCuda it is the driver's part, whose library needs nothing but {@code libcuda.so.1}: the
 * kernels of {@code cuda/} are linked to CUDA's runtime statically, and share pointers and streams
 * with it in a device's primary context. JCuda's runtime part, NVRTC and the PTX compiler want
 * libraries of CUDA 12 or are not needed. Java binds functions when they are first called, so that
 * those of the 312 which a newer driver has dropped do no harm.
 *
 * <p>JCuda unpacks its library into the temporary folder under a fixed name, loads whatever lies
 * there already, and finds nothing to unpack when it is a module. {@code CudaDriver} unpacks it
 * into the user's cache and sends JCuda there.
 */
package io.assay.engine.device;
