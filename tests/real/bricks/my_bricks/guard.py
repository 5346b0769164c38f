# SPDX-License-Identifier: MIT
"""A guard of a user's own, which blames texts with long numbers."""
import re

from llmbrick.bricks.guard.base_guard import GuardBrick
from llmbrick.core.brick import unary_handler
from llmbrick.protocols.models.bricks.guard_types import GuardRequest, GuardResponse, GuardResult


class PiiGuard(GuardBrick):
    def __init__(self, sensitivity: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.digits = round(20 * (1 - sensitivity))

    @unary_handler
    async def check(self, request: GuardRequest) -> GuardResponse:
        found = re.search(rf"\d{{{self.digits},}}", request.text)
        return GuardResponse(results=[GuardResult(is_attack=bool(found), confidence=0.9 if found else 0.0,
                                                  detail=found[0] if found else "")])
