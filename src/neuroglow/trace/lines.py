"""From a source to trees: all lines in memory, or by regions where they are too many for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from neuroglow.progress import Progress, Tell
from neuroglow.skeleton.middle_blocks import MiddleBlock
from neuroglow.skeleton.middles import Middles, find_middles, finish_middles
from neuroglow.skeleton.partition import Decision
from neuroglow.skeleton.region_steps import RegionTask
from neuroglow.skeleton.tracer import FindBodies, FindMiddles, Rules, Views, trace_lines
from neuroglow.space.geometry import Blocks, Box
from neuroglow.trace.body_run import BodyRun
from neuroglow.trace.middle_run import MiddleRun
from neuroglow.trace.region_run import RegionRun, choose_side, say_torn
from neuroglow.trace.searches import Searches
from neuroglow.trace.settings import TraceSettings
from neuroglow.trace.source import Source
from neuroglow.trees.swc import Tree

__all__ = ["Traced", "trace_source"]


@dataclass(frozen=True)
class Traced:
    """Trees, the longest first; the decisions at their branch points; what is to be said."""

    trees: Sequence[Tree]
    decisions: Sequence[Decision]
    notes: Sequence[str] = ()


def trace_source(
    source: Source, rules: Rules, settings: TraceSettings, run: MiddleRun | None, tell: Tell
) -> Traced:
    """Trace a source. run: where middle lines are found and kept; none: in memory."""
    voxels = Box.of(source.shape).size

    def said(work: str, share: float) -> None:
        tell(Progress(work, round(share * voxels), voxels))

    def whole(find: FindMiddles) -> Traced:
        searches = Searches.of(source, rules)
        bodies = _bodies(searches, source, run, partial(said, "somata"))
        glow = searches.glow() if searches.glow else None
        views = Views(source.reader, source.evidence, bodies, glow)
        given = views, source.shape, source.unit_um, rules
        return Traced(*trace_lines(*given, find=find, tell=said))

    if run is None:
        return whole(partial(find_middles, block=settings.block))
    seen = 0

    def see(box: Box) -> None:
        nonlocal seen
        seen += box.size
        said("middle lines", seen / voxels)

    work, blocks = run.find(
        source.reader, source.shape, source.unit_um, detected_from=rules.low, tell=see
    )
    margin = RegionTask.margin_of(rules, source.unit_um)
    side = settings.region or choose_side(run, work, blocks, margin)
    if side is None:
        return whole(partial(_read_back, work, blocks))
    regional = RegionRun(run, work, blocks, source, rules, side, said)
    trees, decisions, torn = regional.trace()
    count = len(regional.regions.blocks)
    note = f"traced in {count} regions of {side} voxels along each axis, and joined"
    return Traced(trees, decisions, [note, *say_torn(torn)])


def _bodies(
    searches: Searches, source: Source, run: MiddleRun | None, tell: Callable[[float], object]
) -> FindBodies:
    """Return what finds somata: among the workers of a run, or here."""
    if run is None or searches.search is None:
        return searches
    return BodyRun(run, searches.search, source.identity, tell)


def _read_back(work: MiddleBlock, blocks: Blocks, *_: object, **__: object) -> Middles:
    """Read the middle lines that a run has left."""
    return finish_middles(Middles.joined([*work.found(blocks)]), blocks.roi.shape)
