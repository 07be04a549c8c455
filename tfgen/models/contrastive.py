"""What words look like: a text encoder learns which caption belongs to which picture, before or while it steers a generator.

CLIP (Radford et al., 2021, arXiv:2103.00020) in small. A generator's own loss tells an encoder little: at the noise levels at
which words matter, most of the error is noise. Matching captions with clean pictures teaches the same words in minutes.

What it does not teach is which word belongs to which object: as no batch holds both "a red star above a blue ring" and "a blue
star above a red ring", a bag of words finds its picture as well (Yuksekgonul et al., 2023, arXiv:2210.01936). Where the
attributes of the pictures are known, the encoder therefore learns besides to read them from the caption, or nothing else.
"""

import keras
import numpy as np
import tensorflow as tf

from tfgen.models.image_model import num_replicas, results_of, take_step
from tfgen.models.judge import NUM_CLASSES, judge_batch, judge_losses
from tfgen.models.layers import picture_to_features

INVERSE_TEMPERATURE = 14.0  # where CLIP starts; on small pictures it need not be learned


def picture_encoder(image_size, image_channels, text_width, num_blocks=0):
    """A network from pictures [B, H, W, C] to vectors [B, text_width], to be compared with those of captions; `num_blocks` as
    in `picture_to_features`."""
    image = keras.Input((image_size, image_size, image_channels), name="image")
    vector = keras.layers.Dense(text_width, name="vector")(picture_to_features(image, 32, num_blocks=num_blocks))
    return keras.Model(image, vector, name="picture_encoder")


def positive_pairs(batch, empty=False):
    """Which captions of a batch are right of which pictures, bool [B, B]: [i, j] is true where caption i fits picture j as well
    as its own, being of the same class, or, without classes, in the same words; or where it is emptied, `empty` bool [B]."""
    known = batch["label"][:, None] if "label" in batch else batch["token_ids"]
    same = tf.reduce_all(known[:, None] == known[None], axis=-1)
    return same | tf.reshape(empty, [-1, 1])


def matching_scores(text, pictures):
    """Logits of caption i to belong to picture j, [B, B], of their vectors [B, D]."""
    text, pictures = tf.math.l2_normalize(text, axis=-1), tf.math.l2_normalize(pictures, axis=-1)
    return INVERSE_TEMPERATURE * tf.matmul(text, pictures, transpose_b=True)


def hardest_negatives(text, same):
    """The hardest negative caption of each picture: of those in the batch that are wrong the one whose vector is nearest to its
    own, int [B], from the captions' vectors [B, D]; and whether any is wrong, bool [B]. One at random is wrong in most that it
    says, and a discriminator would learn to look at the background alone (negatives this hard: Faghri et al., 2018,
    arXiv:1707.05612)."""
    text = tf.stop_gradient(tf.math.l2_normalize(text, axis=-1))
    likeness = tf.where(same, -np.inf, tf.matmul(text, text, transpose_b=True))
    return tf.argmax(likeness, axis=0), ~tf.reduce_all(same, axis=0)


def matching_loss(scores, same):
    """Mean cross-entropy, in nats, of finding a caption's picture and a picture's caption in the batch (Radford et al.,
    section 2.3), where all that `positive_pairs` names are equally right."""
    losses = []
    for logits, right in ((scores, same), (tf.transpose(scores), tf.transpose(same))):
        right = tf.cast(right, tf.float32)
        target = right / tf.reduce_sum(right, axis=-1, keepdims=True)
        losses.append(tf.nn.softmax_cross_entropy_with_logits(target, logits))
    return tf.reduce_mean(losses)


def picture_matching_loss(picture_encoder, pictures, pooled, same):
    """`matching_loss` of pictures and the captions' vectors [B, D]: low where the pictures show what their captions say."""
    return matching_loss(matching_scores(pooled, picture_encoder(pictures)), same)


class CaptionMatcher(keras.Model):
    """Pulls the vector of each caption towards that of its picture, and away from those of the batch's other pictures; or has
    it tell the attributes of the scene; or both.

    Args:
        text_encoder: `tfgen.text.TextEncoder`, which learns. All else is thrown away.
        image_size, image_channels: of the pictures.
        matches_pictures: whether captions learn from pictures.
        reads_attributes: whether they learn from the attributes of scenes, which the batches then hold.

    Metrics: of pictures `matching_loss`, in nats, and `matching_accuracy`, the fraction of the captions that find a picture of
    theirs; of attributes `attribute_loss`, their mean cross-entropy, in nats.
    """

    def __init__(self, text_encoder, image_size, image_channels, matches_pictures=True, reads_attributes=False):
        super().__init__()
        self.text_encoder = text_encoder
        self.picture_encoder, self.attribute_head, names = None, None, []
        if matches_pictures:
            names += ["matching_loss", "matching_accuracy"]
            self.picture_encoder = picture_encoder(image_size, image_channels, text_encoder.width)
        if reads_attributes:
            names.append("attribute_loss")
            self.attribute_head = keras.layers.Dense(sum(NUM_CLASSES.values()), name="attributes")
            self.attribute_head.build((None, text_encoder.width))
        self.trackers = [keras.metrics.Mean(name) for name in names]
        self.built = True

    @property
    def metrics(self):
        return self.trackers

    def train_step(self, batch):
        losses, values = [], []
        with tf.GradientTape() as tape:
            pooled = self.text_encoder.encode(batch)["pooled"]
            if self.picture_encoder:
                same = positive_pairs(batch)
                scores = matching_scores(pooled, self.picture_encoder(batch["image"], training=True))
                losses.append(matching_loss(scores, same))
                found = tf.gather(same, tf.argmax(scores, axis=-1), axis=1, batch_dims=1)
                values += [losses[0], tf.cast(found, tf.float32)]
            if self.attribute_head:
                losses.append(self._attribute_loss(batch, pooled))
                values.append(losses[-1])
            loss = tf.add_n(losses)
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables, output_gradients=tf.constant(1 / num_replicas()))
        take_step(self.optimizer, gradients, variables)
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return results_of(self.trackers)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass  # as of `ImageModel`

    def _attribute_loss(self, batch, pooled):
        """Mean cross-entropy over the attributes, of the scenes to which each applies."""
        _, labels = judge_batch(batch)
        logits = tf.split(self.attribute_head(pooled), list(NUM_CLASSES.values()), axis=-1)
        # Keras's losses are a device's share already.
        return num_replicas() * tf.reduce_mean(
            [loss(labels[name], part) for (name, loss), part in zip(judge_losses().items(), logits, strict=True)]
        )
