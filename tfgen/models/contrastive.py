"""What words look like: before it steers a generator, a text encoder learns which caption belongs to which picture.

CLIP (Radford et al., 2021, arXiv:2103.00020) in small. A generator's own loss tells an encoder little: at the noise levels at
which words matter, most of the error is noise. Matching captions with clean pictures teaches the same words in minutes.
"""

import keras
import tensorflow as tf

from tfgen.models.image_model import num_replicas
from tfgen.models.layers import picture_to_features

INVERSE_TEMPERATURE = 14.0  # where CLIP starts; on small pictures it need not be learned


class CaptionMatcher(keras.Model):
    """Pulls the vector of each caption towards that of its picture, and away from those of the batch's other pictures.

    The loss is the cross-entropy of finding a caption's picture and a picture's caption in the batch (Radford et al.,
    section 2.3); where a batch holds a caption more than once, its pictures are equally right.

    Args:
        text_encoder: `tfgen.text.TransformerTextEncoder`, which learns. The picture's encoder is thrown away.
        image_size, image_channels: of the pictures.
        width: channels of the picture encoder's finest grid.

    Metrics: `matching_loss` in nats, and `matching_accuracy`, the part of the captions that find a picture of theirs.
    """

    def __init__(self, text_encoder, image_size, image_channels, width=32):
        super().__init__()
        self.text_encoder = text_encoder
        image = keras.Input((image_size, image_size, image_channels), name="image")
        features = picture_to_features(image, width)
        self.picture_encoder = keras.Model(image, keras.layers.Dense(text_encoder.width)(features), name="picture_encoder")
        self.trackers = [keras.metrics.Mean(name) for name in ("matching_loss", "matching_accuracy")]
        self.built = True

    @property
    def metrics(self):
        return self.trackers

    def train_step(self, batch):
        token_ids = batch["token_ids"]
        same = tf.cast(tf.reduce_all(token_ids[:, None] == token_ids[None], axis=-1), tf.float32)  # [B, B]
        target = same / tf.reduce_sum(same, axis=-1, keepdims=True)
        with tf.GradientTape() as tape:
            text = self.text_encoder(token_ids, batch["padding_mask"])["pooled"]
            picture = self.picture_encoder(batch["image"], training=True)
            text, picture = tf.math.l2_normalize(text, axis=-1), tf.math.l2_normalize(picture, axis=-1)
            logits = INVERSE_TEMPERATURE * tf.matmul(text, picture, transpose_b=True)
            entropies = [tf.nn.softmax_cross_entropy_with_logits(target, scores) for scores in (logits, tf.transpose(logits))]
            loss = tf.reduce_mean(entropies)
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables, output_gradients=tf.constant(1 / num_replicas()))
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        found = tf.gather(same, tf.argmax(logits, axis=-1), axis=1, batch_dims=1)
        loss_tracker, accuracy_tracker = self.trackers
        loss_tracker.update_state(loss)
        accuracy_tracker.update_state(found)
        return {tracker.name: tracker.result() for tracker in self.trackers}
