"""Every step there is, by what a definition says of it. [pure]

A new step is a class in ``registry.spec.encode_steps`` and one here, in a file of its family, with
its line in that file's table; ``tests/contracts/test_encodings.py`` runs on each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.encoding import (
    categories,
    imputing,
    scaling,
    stretches,
    target,
    texts,
)

if TYPE_CHECKING:
    from materialization.transforms.encoding.step import StepKind
    from registry.spec.encode_steps import Step

KINDS: dict[type[Step], StepKind] = {
    **scaling.KINDS,
    **stretches.KINDS,
    **categories.KINDS,
    **imputing.KINDS,
    **texts.KINDS,
    **target.KINDS,
}


def kind_of(step: Step) -> StepKind:
    return KINDS[type(step)]
