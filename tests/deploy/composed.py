"""`deploy/compose/compose.yaml` as Docker Compose itself reads it."""

import json
import re
from functools import cache
from typing import Any

from tests.deploy.roles import DEPLOY
from tests.deploy.tools import run

FOLDER = DEPLOY / "compose"
NAMES = re.findall(r"^(\w+)=$", (FOLDER / "env.example").read_text(), re.MULTILINE)
SECRETS = {name: f"p{name.lower().replace('_', '')}" for name in NAMES}


@cache
def composed(*flags: str) -> Any:
    """Return the whole model, with everything filled in."""
    ran = run("docker-compose", *flags, "config", "--format", "json", folder=FOLDER, **SECRETS)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
