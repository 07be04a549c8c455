"""The optimizer with which the U-Net learns best."""

import re

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfgen")
class ConvolutionalMuon(keras.optimizers.Muon):
    """Muon (Jordan et al., 2024; Liu et al., 2025, arXiv:2502.16982) that does for convolutions what Keras's does for matrices.

    A step moves all directions of a matrix equally far: its momentum U S V^T is replaced by U V^T. Adam lets the few large
    directions of a picture's background and colours outrun the many small ones in which the shape of an object is drawn. A
    kernel [h, w, C_in, C_out] is the matrix [h w C_in, C_out]. Vectors, and what `exclude_layers` names, take AdamW's step.
    """

    def _should_use_adamw(self, variable):
        if len(variable.shape) != 4:
            return super()._should_use_adamw(variable)
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient + m * (self.momentum - 1))
        direction = gradient + self.momentum * m if self.nesterov else m
        matrix = ops.reshape(direction, (-1, variable.shape[-1]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))
