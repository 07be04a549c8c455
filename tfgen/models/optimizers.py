"""The optimizer of the U-Net and of what matches captions with pictures."""

import re

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfgen")
class ConvolutionalMuon(keras.optimizers.Muon):
    """Muon (Jordan et al., 2024, github.com/KellerJordan/Muon; Liu et al., 2025, arXiv:2502.16982), which in Keras moves
    matrices alone, for convolutions too.

    A step moves all directions of a matrix equally far: its momentum U S V^T is replaced by U V^T. A kernel
    [h, w, C_in, C_out] is the matrix [h w C_in, C_out]. Vectors, embeddings, kernels of three dimensions (one-dimensional
    convolutions, the projections of attention), and what `exclude_layers` names, take AdamW's step.
    """

    def _should_use_adamw(self, variable):
        if len(variable.shape) != 4:
            return super()._should_use_adamw(variable)
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def zeropower_via_newtonschulz5(self, x, steps):
        """Keras's iteration, X <- (a + b X X^T + c (X X^T)^2) X. Each step multiplies X by a polynomial of its Gram matrix, so
        their product is found by matrices of the shorter side alone, and X, most often some times as long, is multiplied once.
        """
        matrix = _as_matrix(x)
        matrix = matrix / (ops.norm(matrix) + 1e-7)
        is_tall = matrix.shape[0] >= matrix.shape[1]
        gram = ops.transpose(matrix) @ matrix if is_tall else matrix @ ops.transpose(matrix)
        product = identity = ops.eye(gram.shape[0])
        for _ in range(steps):
            factor = self.muon_a * identity + self.muon_b * gram + self.muon_c * gram @ gram
            product, gram = product @ factor, factor @ gram @ factor
        return ops.reshape(matrix @ product if is_tall else product @ matrix, x.shape)

    def lr_adjust(self, x):
        return ops.reshape(super().lr_adjust(_as_matrix(x)), x.shape)


def _as_matrix(kernel):
    return ops.reshape(kernel, (-1, kernel.shape[-1]))
