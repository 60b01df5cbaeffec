"""The network of a survey: a model, and what it runs on, chosen as `predict` chooses it."""

from __future__ import annotations

from dataclasses import dataclass

from neuroglow.blocks.cluster import Place
from neuroglow.network.enhance import ModelOnDevice
from neuroglow.network.machine import Machine, choose_machine
from neuroglow.network.model_settings import refuse_inverted
from neuroglow.network.stored import StoredModel, read_model

__all__ = ["SurveyNetwork"]


@dataclass(frozen=True)
class SurveyNetwork:
    """A model, and what it runs on."""

    model: StoredModel
    machine: Machine

    @classmethod
    def choose(cls, name: str, device: str, where: Place, *, invert: bool) -> SurveyNetwork:
        """Read a model, and choose what it runs on where the cubes are measured.

        invert: is the volume read inverted? Raises ModelError for damaged weights, SettingsError.
        """
        model = read_model(name)
        model.weights()  # damaged ones are found before anything is measured
        refuse_inverted(model.settings.normalisation, invert=invert)
        machine = where.ask(
            choose_machine,
            model.settings,
            engine="auto",
            device=device,
            precision="auto",
            int8=model.int8_by_default,
        )
        return cls(model, machine)

    @property
    def decides(self) -> dict[str, str]:
        """Return everything of it that determines the table."""
        machine = self.machine
        hashed = self.model.hash_in(machine.precision)
        used = {"device": machine.kind, "engine": machine.engine, "precision": machine.precision}
        return {"model": hashed} | used

    @property
    def on_device(self) -> ModelOnDevice:
        """Return the address that is sent to workers."""
        return ModelOnDevice(self.model.path, self.decides["model"], self.machine)

    def __str__(self) -> str:
        return f"{self.model.settings.name}, {self.machine.precision} ({self.machine.engine})"
