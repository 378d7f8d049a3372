"""The handbook's tables say what is measured and what the alerts ask for, and it is noticed if they do not."""

from pathlib import Path

import pytest
from customerflow_local import handbook


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of our own, as they would be written."""
    for name in ("README", "METRICS"):
        copy = tmp_path / f"{name}.md"
        copy.write_text(getattr(handbook, name).read_text())
        monkeypatch.setattr(handbook, name, copy)
    assert handbook.main([]) == 0
    return tmp_path


def test_each_alert_stands_in_the_readme(written: Path) -> None:
    text = (written / "README.md").read_text()
    for rule in handbook.rules():
        assert f"| `{rule['alert']}` ({rule['labels']['severity']}) | " in text
        assert rule["annotations"]["runbook"].replace("|", "\\|") in text


@pytest.mark.parametrize("name", ["README.md", "METRICS.md"])
def test_a_table_that_is_stale_is_noticed_and_written_anew(
    written: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (written / name).read_text()
    (written / name).write_text(good.replace("NoRelaySends", "NoRelay").replace("customerflow.reads", "reads"))
    assert handbook.main(["check"]) == 1
    assert name in capsys.readouterr().out
    assert handbook.main([]) == 0
    assert (written / name).read_text() == good
    assert handbook.main(["check"]) == 0


def test_a_readme_without_its_marks_is_left_alone(written: Path) -> None:
    (written / "README.md").write_text("# nothing\n")
    with pytest.raises(ValueError, match="marks"):
        handbook.main([])
    assert (written / "README.md").read_text() == "# nothing\n"
