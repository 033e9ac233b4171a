"""The profiles name only rules that exist."""

import pytest
import yaml

from vitproto.core.project import PROJECT

PROFILES = sorted((PROJECT / "profiles").glob("*/config.yaml"))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.parent.name)
def test_a_profile_names_only_rules_that_exist(profile):
    settings = yaml.safe_load(profile.read_text(encoding="utf-8")) or {}
    named = {
        *settings.get("set-threads", {}),
        *settings.get("set-resources", {}),
        *(words.partition("=")[0] for words in settings.get("groups", [])),
    }
    # A rule is called after its stage.
    assert named <= {path.stem for path in PROJECT.glob("scripts/*.py")}
