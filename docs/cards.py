"""Writes into each model's card what `tfgen evaluate` measured.

for report in saved_models/*/report.json; do
    model=$(basename $(dirname $report))
    tfgen evaluate $model --json $report
done
python docs/cards.py
"""

import json
from pathlib import Path

MODELS = Path(__file__).parents[1] / "saved_models"
BEGIN, END = "<!-- made by docs/cards.py -->\n", "<!-- end -->\n"


def measured(name, report):
    """The table of a card; scores by attribute and by class are on the page of pictures alone."""
    rows = [
        f"Measured by `tfgen evaluate {name}`: {report['num_images']:,} pictures for each of the seeds "
        f"{', '.join(map(str, report['seeds']))}, features of {report['extractor']}, held-out pictures of "
        f"`{report['data']}`. The floor is what other real pictures have in place of the model's.\n",
        "| metric | mean | standard deviation | floor |",
        "| --- | ---: | ---: | ---: |",
    ]
    for metric, value in report["metrics"].items():
        if metric.startswith("prompt_accuracy") or not ("_accuracy_" in metric or metric.endswith("_part")):
            cells = [f"{value[key]:.4g}" if key in value else "" for key in ("mean", "standard_deviation", "floor")]
            rows.append(f"| {metric.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join([*rows, "", "![](report.png)", ""])


def card(folder):
    """A model's card with the figures of its report."""
    report = json.loads((folder / "report.json").read_text())
    text = (folder / "README.md").read_text()
    before, rest = text.split(BEGIN)
    return before + BEGIN + measured(folder.name, report) + END + rest.split(END)[1]


if __name__ == "__main__":
    for file in sorted(MODELS.glob("*/report.json")):
        (file.parent / "README.md").write_text(card(file.parent))
