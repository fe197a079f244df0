"""Checkpoints that cannot be measured are refused when they are loaded."""

import json
import shutil

import pytest

from harness.errors import UserError
from harness.models.loading import load_checkpoint


def test_a_tokenizer_without_bos_is_refused(checkpoint, tmp_path):
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "bos_token"}))
    with pytest.raises(UserError, match="no BOS token"):
        load_checkpoint(str(folder))
