"""Which countries there are."""

from customerflow_shared.inputs.countries import COUNTRIES


def test_the_countries_are_the_249_of_the_standard() -> None:
    assert len(COUNTRIES) == 249
    assert {"UK", "XK", "AN", "EU"}.isdisjoint(COUNTRIES)
