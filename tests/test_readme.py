"""What README.md shows in Python runs, and means what it says."""

import re

import numpy as np
from sklearn.metrics import average_precision_score

from vitproto.core.project import PROJECT
from vitproto.prototypes.scorer import Scorer


def test_the_example_scores_images_and_ranks_prototypes():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    scorer, acts_NPD = names["scorer"], names["acts_NPD"]
    assert isinstance(scorer, Scorer)
    patches_NPK = scorer(acts_NPD.flatten(0, 1)).unflatten(0, acts_NPD.shape[:2])
    scores_NK = names["scores_NK"].numpy()
    np.testing.assert_allclose(scores_NK, patches_NPK.amax(1), rtol=1e-4, atol=1e-4)
    labels_NT = names["labels_NT"]
    expected = average_precision_score(labels_NT[:, 3], scores_NK[:, 7])
    np.testing.assert_allclose(names["ap_KT"][7, 3], expected, rtol=1e-12)
