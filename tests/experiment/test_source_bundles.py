"""What lies beside a bundle, found by its content."""

import json

from treadle.experiment.source_bundles import digest_file, find_optimizer


def test_the_state_of_an_optimizer_is_known_by_its_content_whenever_it_is_asked_for(tmp_path):
    bundle, file = tmp_path / "bundle", tmp_path / "model" / "optimizer.pt"
    for folder in (bundle, file.parent):
        folder.mkdir()
    file.write_bytes(b"moments")
    (bundle / "bundle.json").write_text(json.dumps({"optimizer": digest_file(file)}))

    assert find_optimizer(bundle) == find_optimizer(bundle) == file
    file.write_bytes(b"another")
    assert find_optimizer(bundle) is None, "as large, written in the same moment"
    file.unlink()
    assert find_optimizer(bundle) is None
