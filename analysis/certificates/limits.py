"""What a certificate does not prove, in plain words; no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tuning.baseline import RETRAINED

_ALWAYS = (
    "It says what these tests did not find. A stronger one may: attacks that train many models with and without the "
    "image, look at gradients, or train the model further to see how fast the image comes back.",
    "It is about one model. The model before unlearning, other candidates, resume states, back-ups, logs and the "
    "training data may still hold the image, and so may whoever has a copy of them.",
    "It is about the images whose hashes it names. Near copies, crops, and other pictures of the same thing or person "
    "were neither looked for nor forgotten.",
    "A large p-value is no probability that the image is forgotten, and no p-value can be smaller than 1 / (n + 1) "
    "with n images to compare with.",
    "Seeds are fresh, so that luck with noise is not in the values; but the model was chosen for looking well by "
    "some of the same measures, and it is one run of training, where another seed gives another model.",
    "Who makes several certificates of a model can show the best of them. Ask for one with a seed that you name.",
    "Quality is what the named scores see. What a model lost beside them is not measured.",
    "The hashes show whether this document was changed by accident. They are no signature: who changes it can hash it "
    "anew. And it was measured by the code and on the machine of whoever made it.",
    "It is a measurement and not a legal statement.",
)
_UNSEEN = (
    "That the unseen images are of the forget image's kind, and that the model never saw them, is what the study's "
    "configuration says; it was not checked."
)
_PROMPTED = (
    "The images compared with are those that the modified prompt made and that were labelled as not memorised. "
    "Unlearning trained on them, so that they look better known than images that nobody trained on."
)
_NO_IMAGES = (
    "No images were there to compare with, so that whether the image stands out was not tested: give the study "
    "images of its kind that the model never saw (unseen)."
)
_NO_RETRAINED = (
    "No model trained without the image was there, which alone shows what perfect forgetting looks like, and what "
    "makes an image stand out by itself."
)


def limits(membership: Mapping[str, Any], models: Collection[str]) -> list[str]:
    """The limits that hold for every certificate, and those of this one.

    Args:
        membership: of any of its parts; all compare with the same images.
        models: that were measured.
    """
    known = [_UNSEEN] if membership["is_unseen"] else [_PROMPTED]
    of_test = known if membership["num_unseen"] else [_NO_IMAGES]
    of_models = [] if RETRAINED in models else [_NO_RETRAINED]
    return [*of_test, *of_models, *_ALWAYS]
