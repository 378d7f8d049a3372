"""Dashboards and alerts look at what the programs measure, and each alert speaks up for what it is for."""

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from customerflow_local import dashboards, promtool
from customerflow_local.handbook import ALERTS, INSTRUMENTED, rules
from customerflow_shared import metrics
from opentelemetry.exporter.prometheus._mapping import map_unit, sanitize_attribute, sanitize_full_name
from rich.console import Console

FOLDER = dashboards.FOLDER.parent
OF_PROMETHEUS = {"le", "job", "instance"}


def expressions() -> Iterator[tuple[str, str]]:
    """Where each stands, and what it is."""
    for path, _ in dashboards.files():
        for panel in yaml.safe_load(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]
    for rule in rules():
        yield rule["alert"], rule["expr"]


def measured() -> Mapping[str, set[str]]:
    """The labels of every series that a program may tell, by its name in Prometheus."""
    for module in INSTRUMENTED:
        import_module(module)
    found: dict[str, set[str]] = {}
    for one in metrics.REGISTRY:
        labels = {sanitize_attribute(label) for label in (*one._labels, *one._fixed)}
        name = "_".join(filter(None, (sanitize_full_name(one.name), map_unit(one.unit))))
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(one.kind, [""])
        found |= {name + ending: labels for ending in endings}
    return found


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_what_is_asked_for_is_measured(place: str, expression: str) -> None:
    known = measured()
    without_values = re.sub(r'"[^"]*"', "", expression)
    selected = re.findall(r"(\w+)\{([^}]*)\}", without_values)
    grouped = re.findall(r"\bby \(([^)]*)\)", without_values)
    asked = dashboards.metrics_in(expression)
    assert asked, "no metric is asked for"
    assert asked <= known.keys()
    for metric, selectors in selected:
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors)) <= known[metric] | OF_PROMETHEUS
    labels = {label for group in grouped for label in re.split(r",\s*", group)}
    assert labels <= OF_PROMETHEUS.union(*(known[metric] for metric in asked))


def test_the_dashboards_are_as_they_are_written() -> None:
    assert {path.name: path.read_text() for path in dashboards.FOLDER.glob("*.json")} == {
        path.name: text for path, text in dashboards.files()
    }


def test_a_legend_names_labels_that_are_there() -> None:
    for _, text in dashboards.files():
        for panel in yaml.safe_load(text)["panels"]:
            for target in panel["targets"]:
                named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                grouped = re.findall(r"\bby \(([^)]*)\)", target["expr"])
                assert named <= {label for group in grouped for label in re.split(r",\s*", group)}, panel["title"]


@pytest.fixture(scope="session")
def console() -> Console:
    return Console(stderr=True)


def wrong(folder: Path, console: Console) -> str:
    """What is wrong, by promtool; nothing if all is well."""
    done = promtool.run(["test", "rules", str(folder / "alerts-test.yml")], console)
    return done.stdout + done.stderr if done.returncode else ""


def test_rules_and_settings_are_valid(console: Console) -> None:
    for arguments in (["check", "rules", str(ALERTS)], ["check", "config", str(FOLDER / "prometheus.yml")]):
        done = promtool.run(arguments, console)
        assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_speak_up_when_they_should_and_not_before(console: Console) -> None:
    assert wrong(FOLDER, console) == ""


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules()])
def test_an_alert_that_never_speaks_up_is_noticed(alert: str, tmp_path: Path, console: Console) -> None:
    dumb = yaml.safe_load(ALERTS.read_text())
    for group in dumb["groups"]:
        for rule in group["rules"]:
            if rule["alert"] == alert:
                rule["expr"] = "vector(0) > 1"
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(dumb))
    (tmp_path / "alerts-test.yml").write_text((FOLDER / "alerts-test.yml").read_text())
    assert alert in wrong(tmp_path, console)


def test_an_alert_that_always_speaks_up_is_noticed(tmp_path: Path, console: Console) -> None:
    for rule in rules():
        loud = {"groups": [{"name": "loud", "rules": [{**rule, "expr": "vector(1)", "for": "0s"}]}]}
        (tmp_path / "alerts.yml").write_text(yaml.safe_dump(loud))
        (tmp_path / "alerts-test.yml").write_text((FOLDER / "alerts-test.yml").read_text())
        assert "time: 25m" in wrong(tmp_path, console), rule["alert"]


def test_each_alert_says_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert len(rule["annotations"]["runbook"]) > 60, rule["alert"]
        assert rule["annotations"]["summary"]


def test_what_compose_mounts_is_there() -> None:
    compose = yaml.safe_load((FOLDER.parents[1] / "docker-compose.yml").read_text())
    shown = compose["services"]["observability"]
    assert shown["profiles"] == ["observability"], "it is started only when it is asked for"
    mounted = {target: source for source, target, _ in (one.split(":") for one in shown["volumes"])}
    assert all((FOLDER.parents[1] / source).exists() for source in mounted.values())
    home = Path(shown["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (FOLDER.parents[1] / mounted[str(home.parent)] / home.name).exists()
    (provider,) = yaml.safe_load((FOLDER / "grafana-dashboards.yml").read_text())["providers"]
    assert provider["options"]["path"] in mounted
    (rules,) = yaml.safe_load((FOLDER / "prometheus-otlp.yml").read_text())["rule_files"]
    assert mounted[rules].endswith("alerts.yml")
    for program in ("command", "relay", "projector", "query"):
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in compose["services"][program]["environment"]
        assert set(compose["services"][program]["networks"]) & set(shown["networks"])
