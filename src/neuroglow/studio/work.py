"""Routes of work: jobs ordered, watched, stopped, resumed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from neuroglow.studio.growing import is_growing
from neuroglow.studio.jobs import Job
from neuroglow.studio.orders import OrderOf
from neuroglow.studio.refusals import RefusedError
from neuroglow.studio.studio import Studio

__all__ = ["work_routes"]


def work_routes(studio: Studio) -> APIRouter:
    """Return the routes."""
    router = APIRouter()
    jobs = studio.jobs

    def describe(job: Job) -> dict[str, Any]:
        told = jobs.describe(job)
        return told | {"revision": _revision(studio, told["output"])}

    @router.post("/api/jobs", status_code=201)
    def order(order: OrderOf) -> dict[str, Any]:
        """Order a job: a verb with its files and options."""
        job = jobs.order(studio.with_known_size(order))
        return describe(job)

    @router.get("/api/jobs")
    def all_jobs() -> dict[str, Any]:
        """List all jobs, the newest first."""
        jobs.turn()
        return {"jobs": [describe(job) for job in jobs.all()]}

    @router.get("/api/jobs/{name}")
    def one_job(name: str) -> dict[str, Any]:
        """Describe a job."""
        return describe(jobs.get(name))

    @router.post("/api/jobs/{name}/cancel")
    def cancel(name: str) -> dict[str, Any]:
        """Stop a job, as Ctrl-C does; asked for a third time, it is killed."""
        jobs.cancel(jobs.get(name))
        return describe(jobs.get(name))

    @router.post("/api/jobs/{name}/resume")
    def resume(name: str) -> dict[str, Any]:
        """Go on with a job that was stopped, failed or lost."""
        jobs.resume(jobs.get(name))
        return describe(jobs.get(name))

    return router


def _revision(studio: Studio, output: str) -> str | None:
    """Return the revision of an output that is there, or grows; None while there is nothing."""
    try:
        place = studio.inside.place(output)
    except RefusedError:  # a link was laid there since
        return None
    return studio.volumes.revision(output) if place.exists() or is_growing(place) else None
