"""The command service's own database for tests."""

from services.command.tests.conftest import migrated

__all__ = ["migrated"]
