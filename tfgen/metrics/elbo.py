"""How well a VAE explains pictures that it did not see."""

import keras
import tensorflow as tf

_ACTIVE = 0.01  # variance of a latent's mean over the pictures (Burda et al., 2016, arXiv:1509.00519, section 5.2)


class HeldOutELBO(keras.metrics.Metric):
    """Negative evidence lower bound of held-out pictures in nats, streamed, with its parts and the active latent units: those
    whose mean varies from picture to picture.

    Args:
        vae: has `elbo_terms(batch)`: reconstruction [B], KL [B, L] and means of the latents [B, L].
    """

    def __init__(self, vae, name="negative_elbo", **kwargs):
        super().__init__(name=name, **kwargs)
        self.vae = vae
        names = {"count": (), "reconstruction": (), "kl": (), "mean": (vae.latent_size,), "square": (vae.latent_size,)}
        self.sums = {part: self.add_weight(shape, "zeros", "float64", part) for part, shape in names.items()}

    def update_state(self, batch):
        reconstruction, kl, means = (tf.cast(term, tf.float64) for term in self.vae.elbo_terms(batch))
        added = {
            "count": tf.cast(tf.shape(means)[0], tf.float64), "reconstruction": tf.reduce_sum(reconstruction),
            "kl": tf.reduce_sum(kl), "mean": tf.reduce_sum(means, axis=0), "square": tf.reduce_sum(means**2, axis=0),
        }  # fmt: skip
        for part, value in added.items():
            self.sums[part].assign_add(value)

    def result(self):
        """dict: the negative ELBO under the metric's name, `reconstruction`, `kl` and `active_units`."""
        means = {part: value.value / self.sums["count"].value for part, value in self.sums.items()}
        active = tf.reduce_sum(tf.cast(means["square"] - means["mean"] ** 2 > _ACTIVE, tf.float64))
        parts = {"reconstruction": means["reconstruction"], "kl": means["kl"], "active_units": active}
        return {self.name: parts["reconstruction"] + parts["kl"], **parts}
