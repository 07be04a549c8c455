"""Is a Chinese prompt worth as much as an English one, in sentences that no training caption was formed like?

    python benchmarks/languages.py

shapes-student draws 2,048 scenes of one object and as many of two, each asked for in both languages with the same seed;
shapes-judge says in how many of the pictures all that the sentence states is right. The floor is the same of the scenes as
they are drawn by rule. Aim: the two languages within 2 points. An interrupted benchmark goes on after its last complete kind;
delete its results to begin anew.
"""

import json
import warnings

import numpy as np
import report

import tfgen
from tfgen.data import captions, shapes
from tfgen.metrics import all_attributes_match
from tfgen.models.image_model import PromptWarning
from tfgen.models.judge import judge_attributes

NUM_SCENES, SEED = 2048, 11
WEIGHTS = report.weights("shapes-student")
RESULTS = report.RESULTS / "languages.json"


def known_rights():
    """By kind, of which prompts all is right: "1" or "0" for each."""
    figures = json.loads(RESULTS.read_text())["figures"] if RESULTS.exists() else {}
    return figures["right"] if figures.get("weights") == WEIGHTS else {}


warnings.simplefilter("ignore", PromptWarning)  # that some of the words are new is what is tried
model, judge = tfgen.load_model("shapes-student"), tfgen.load_model("shapes-judge")
figures, right_by_language = {}, {"en": [], "zh": []}
for num_objects in (1, 2):
    scenes = shapes.sample_scenes(NUM_SCENES, [SEED, num_objects], "test", model.image_size, (num_objects,))
    english, chinese, stated = captions.describe_in_pairs(scenes, [SEED, num_objects])
    real = np.round((shapes.render(scenes, model.image_size).numpy() + 1) * 127.5).astype(np.uint8)
    kind = {
        "floor": float(all_attributes_match(stated, judge_attributes(judge, real)).mean()),
        "example": [english[0], chinese[0]],
    }
    for language, prompts in (("en", english), ("zh", chinese)):
        key = f"{num_objects}, {language}"
        if key not in known_rights():
            pictures = model.generate(prompts, seed=100_000 * num_objects, verbose=1)
            found = "".join(str(int(one)) for one in all_attributes_match(stated, judge_attributes(judge, pictures)))
            report.write("languages", {"weights": WEIGHTS, "right": {**known_rights(), key: found}})
        right = np.array(list(known_rights()[key]), float)
        right_by_language[language].append(right)
        kind[language] = float(right.mean())
    figures["one_object" if num_objects == 1 else "two_objects"] = kind
right = {language: np.concatenate(parts) for language, parts in right_by_language.items()}
difference = right["en"] - right["zh"]
figures["all"] = {
    "en": float(right["en"].mean()),
    "zh": float(right["zh"].mean()),
    "difference": float(difference.mean()),
    "standard_error_of_difference": float(difference.std(ddof=1) / len(difference) ** 0.5),
}
report.write("languages", {**figures, "weights": WEIGHTS, "right": known_rights()})
