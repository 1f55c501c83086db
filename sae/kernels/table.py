"""What the kernels of a step read and write: sizes, and the addresses of the tensors.

Shape letters: B batch, D d_in, F latent_dim. A tensor "in the working precision" is float32, or
bfloat16 where `half` is not zero.
"""

import numpy as np

FIELDS = (
    "next_piece",  # address of the number that hands out pieces of work
    "half",  # whether the working precision is bfloat16
    "batch",
    "d_in",
    "latent_dim",
    "latents",  # [F, B], working precision
    "marks",  # [ceil(B / 64), F], int64: see `sae.kernels.marks`; 0 where none are wanted,
    # or where there are lists
    "bias",  # [F]
    "limits",  # [F], what z + bias must exceed
    "firings",  # [F]
    "sums",  # [F]
    "latent_gradient",  # [F, B], working precision
    "pre_activations",  # [F, B], working precision: z where `latents` is not z any more
    "width",  # [1], of what is near a threshold
    "gates",  # [F, B], working precision: gated's relu(gate)
    "gate_gradient",  # [F, B], working precision
    "path_biases",  # [F, 3], see `sae.kernels.gated`
    "path_sums",  # [F, 3], likewise
    "added",  # [F], to be added to the latents' gradients
    "gradient_sums",  # [F]
    "W_dec",  # [F, D]
    "b_dec",  # [D]
    "tokens",  # [B, D]
    "squares",  # [B], each token's squared error
    "reconstruction",  # [B, D], working precision: x_hat without b_dec, then its gradient
    "product",  # [F, D], working precision: a weight's gradient, before what is added
    "output_gradient",  # [B, D]
    "output_sums",  # [ceil(B / 64), D], the former summed over blocks of tokens
    "output_rows",  # [B, D] in rows (see `sae.kernels.row_sums`): the former
    "gate_rows",  # [B, D] in rows: likewise of gated's reconstruction from its gates
    "input_rows",  # [B, D] in rows: x - b_dec
    "decoder_rows",  # [F, D] in rows: W_dec
    "source",  # [packed_rows, D]
    "packed",  # the former in words
    "packed_rows",
    "copy_kind",  # of `packed`, where Adam writes it: see `sae.kernels.adam`
    "gradient",  # [packed_rows, D]: source's, with its moments
    "mean",
    "square",
    "rates",  # see `sae.kernels.adam`
    "norms",  # [F], of rows that Adam has moved, or what latents are multiplied by to compare them
    "thresholds",  # [B], how strong a latent must be
    "smallest",  # [F], the least z + bias above a limit
    "wanted",  # latents of a token that shall reach its threshold
    "gradient_squares",  # [F], of a latent's row in both weights' gradients
    "row_weights",  # [F], what of W_dec's rows their gradients start with
    "W_dec_gradient",  # [F, D]
    "W_enc_gradient",  # [F, D], the transpose of W_enc's
    "encoder",  # [F, D], working precision: the transpose of W_enc
    "whole_tokens",  # [ceil(B / 16), P / 4, 16, 4] uint8: see `sae.kernels.fixed_point`
    "token_numbers",  # [ceil(B / 16), 3, 16]
    "paired_tokens",  # [2 ceil(B / 32), D / 2, 16] in words: see `sae.kernels.matrix_units`
    "found_count",  # address of the number of latents that were found on
    "found_parts",  # [spans, 2, F], their sums and how many; for these see `sae.kernels.found`
    "found_by_latent",  # [room] in words; not 0: read in place of `latents` and `marks`
    "found_by_token",  # [room] in words; likewise
    "room",
    "lists_of_latents",  # [spans, F, 2], int64
    "lists_of_tokens",  # [panels, B, 2], int64
    "parts",  # [ceil(F / rows), D], sums of as many weighted rows: of 32, or of a round's
)
PLACES = {name: place for place, name in enumerate(FIELDS)}
TABLE = np.dtype([(name, np.int64) for name in FIELDS])
"""Matrices are contiguous, vectors float32 unless said otherwise."""
