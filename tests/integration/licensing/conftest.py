from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.licensing.running import Running, found_folder, running


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    folder = await found_folder(tmp_path / "licensing")
    async with running(folder) as service:
        yield service
