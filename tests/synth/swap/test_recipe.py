"""The recipe: phases, the turning point, exact resume, checkpoints that were tampered with, logs."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from provenance.errors import CorruptMediaError, MissingPathError, NoFaceError, OutputExistsError, UsageError
from synth.swap.config import Recipe
from synth.swap.model import Generator
from synth.swap.training import schedule
from synth.swap.training.checkpoint import CHECKPOINT_FILE, MODEL_FILE, load_model, save_model
from synth.swap.training.events import RunLog, crc32c, tfrecord
from synth.swap.training.train import train
from tests.support.swap_faces import drawn_bank, minute_preset, origin, rows, stop_after


def _banks() -> dict[str, object]:
    return {"a": drawn_bank(1), "b": drawn_bank(2)}


# --- the schedule


def _played(recipe: Recipe, measure, *, accuracy: float = 0.0) -> tuple[schedule.ScheduleState, list[str]]:  # type: ignore[no-untyped-def]
    at, phases = schedule.ScheduleState(), []
    for _ in range(10_000):
        if schedule.check_due(at, recipe):
            at, _ = schedule.checked(at, measure(at))
        while at.phase != "done" and schedule.is_over(at, recipe, critic_accuracy=accuracy):
            at = schedule.next_phase(at, recipe)
        if at.phase == "done":
            return at, phases
        if schedule.check_due(at, recipe) and at.phase_step == 0:
            continue
        phases.append(at.phase)
        at = schedule.stepped(at)
    raise AssertionError("the schedule does not end")


def test_phases_come_in_order_with_their_steps() -> None:
    recipe = Recipe(steps=100, generator_share=0.6, critic_share=0.1, check_every=10, patience=100)
    at, phases = _played(recipe, lambda at: 1 / (1 + at.step))
    assert phases == ["generator"] * 60 + ["critic"] * 10 + ["adversarial"] * 30
    assert at.step == 100
    assert next(step for step, phase, _ in at.history if phase == "adversarial") == 70


def test_alternating_ends_at_the_turning_point() -> None:
    """Gets better until 20 adversarial steps, worse from then on."""
    recipe = Recipe(steps=1000, generator_share=0.1, critic_share=0.01, check_every=10, patience=3)

    def measure(at: schedule.ScheduleState) -> float:
        return 1.0 - at.step / 1000 if at.phase == "generator" else 0.5 + abs(at.phase_step - 20) / 100

    at, phases = _played(recipe, measure)
    assert phases.count("adversarial") == 20 + 3 * 10
    assert at.phase == "done" and at.step < 200


def test_a_critic_that_is_right_is_taught_no_further() -> None:
    recipe = Recipe(steps=100, generator_share=0.5, critic_share=0.3, check_every=10, critic_accuracy=0.9)
    _, phases = _played(recipe, lambda at: 1.0 / (1 + at.step), accuracy=0.95)
    assert phases.count("critic") == 0 and phases.count("adversarial") == 20


def test_a_prior_has_one_phase_and_rates_rise_and_fall() -> None:
    recipe = Recipe(steps=90, warm_up=10)
    assert schedule.length("generator", recipe, alone=True) == 90
    at = schedule.ScheduleState()
    rates = [
        schedule.rate(replace(at, phase_step=step), recipe, 1.0, alone=True)
        for step in (0, 9, 50, 60, 75, 90)
    ]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 1.0, 0.55, 0.1])
    assert schedule.ScheduleState.from_json(json.loads(json.dumps(at.to_json()))) == at


# --- exact resume


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    done = train(_banks(), origin(minute_preset(30)), folder)
    assert done.finished and done.steps == 30
    return folder


@pytest.mark.parametrize("stops", [(10,), (20,), (7, 9), (15, 8, 3)])
def test_a_stopped_run_goes_on_exactly(tmp_path: Path, uninterrupted: Path, stops: tuple[int, ...]) -> None:
    """Same losses, same weights, as if it had never been stopped: in every phase and at their seams."""
    about = origin(minute_preset(30))
    for index, steps in enumerate(stops):
        stopped = train(_banks(), about, tmp_path, resume=index > 0, stop=stop_after(steps))
        assert not stopped.finished and stopped.steps == sum(stops[: index + 1])
    finished = train(_banks(), about, tmp_path, resume=True)
    assert finished.finished
    # losses are logged as means over ten steps, so they can be compared where a run was stopped between two means
    whole = all(steps % 10 == 0 for steps in stops)
    shown, expected = (
        [row for row in rows(one) if whole or "held-out" in row] for one in (tmp_path, uninterrupted)
    )
    assert shown == expected and len(shown) > 10
    assert not whole or any("loss/adversarial/a" in row for row in shown)
    assert not whole or any("loss/critic/accuracy" in row for row in shown)
    for name in (MODEL_FILE, CHECKPOINT_FILE):
        first, second = load_file(uninterrupted / name), load_file(tmp_path / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_seeds_make_the_difference(tmp_path: Path) -> None:
    chosen = minute_preset(10)
    made = [
        train(_banks(), origin(chosen, seed=seed), tmp_path / str(index)).measures
        for index, seed in enumerate((1, 1, 2))
    ]
    assert made[0] == made[1] != made[2]


def test_the_person_of_whom_there_are_too_few_faces_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoFaceError, match="found 3 faces of person b, "):
        train({"a": drawn_bank(1), "b": drawn_bank(2, 3)}, origin(minute_preset(held_out=0.1)), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("other", ["fewer", "others", "masks"])
def test_a_run_goes_on_with_the_very_faces_it_began_with(tmp_path: Path, other: str) -> None:
    """Whoever edited alignments.json in between would otherwise not notice that the losses are different ones."""
    about = origin(minute_preset())
    train(_banks(), about, tmp_path, stop=stop_after(2))
    one = drawn_bank(2)
    changed = {
        "fewer": drawn_bank(2, 23),
        "others": replace(one, pixels=one.pixels.roll(1, 0)),
        "masks": replace(one, masks=one.masks // 2),
    }[other]
    with pytest.raises(UsageError, match="other faces of b"):
        train({"a": drawn_bank(1), "b": changed}, about, tmp_path, resume=True)
    assert train(_banks(), about, tmp_path, resume=True).finished


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings(tmp_path: Path) -> None:
    about = origin(minute_preset())
    with pytest.raises(MissingPathError, match="no run") as missing:
        train(_banks(), about, tmp_path, resume=True)
    assert "leave --resume away" in str(missing.value.hint)
    train(_banks(), about, tmp_path, stop=stop_after(2))
    with pytest.raises(OutputExistsError):
        train(_banks(), about, tmp_path)
    (tmp_path / "kept").mkdir()
    save_model(tmp_path / "kept" / MODEL_FILE, Generator(about.preset.architecture), about)
    before = (tmp_path / "kept" / MODEL_FILE).read_bytes()
    with pytest.raises(OutputExistsError, match="holds a model without its run"):
        train(_banks(), about, tmp_path / "kept", stop=stop_after(6))
    assert (tmp_path / "kept" / MODEL_FILE).read_bytes() == before, (
        "a model that was copied without its run stays"
    )
    with pytest.raises(UsageError, match="other settings"):
        train(_banks(), origin(minute_preset(), seed=6), tmp_path, resume=True)
    with pytest.raises(UsageError, match="other footage"):
        train(_banks(), replace(about, sources={"a": ["x"], "b": []}), tmp_path, resume=True)


def test_a_prior_is_where_a_pair_begins(tmp_path: Path) -> None:
    chosen = minute_preset(12)
    made = train({"a": drawn_bank(3)}, origin(chosen, ("a",)), tmp_path / "prior")
    assert made.finished and made.steps == 12
    loaded, about = load_model(tmp_path / "prior")
    assert about.sides == ("a",) and loaded.sides == ("a",)
    train(_banks(), origin(chosen), tmp_path / "pair", prior=tmp_path / "prior", stop=stop_after(1))
    first = load_file(tmp_path / "pair" / CHECKPOINT_FILE)
    for name, weight in loaded.encoder.state_dict().items():
        assert float((first[f"average.encoder.{name}"] - weight).abs().max()) < 0.05
    for side in ("a", "b"):
        key = "heads.weight"
        assert torch.allclose(
            first[f"average.decoders.{side}.{key}"], loaded.decoders["a"].state_dict()[key], atol=0.05
        )
    other = replace(chosen, architecture=replace(chosen.architecture, width=8))
    with pytest.raises(UsageError, match="prior"):
        train(_banks(), origin(other), tmp_path / "other", prior=tmp_path / "prior")


# --- files from strangers


def _model(folder: Path) -> Path:
    torch.manual_seed(0)
    about = origin(minute_preset())
    save_model(folder / MODEL_FILE, Generator(about.preset.architecture), about)
    return folder / MODEL_FILE


def test_a_model_travels_with_its_origin(tmp_path: Path) -> None:
    _model(tmp_path)
    generator, about = load_model(tmp_path)
    assert about == origin(minute_preset()) and not generator.training
    assert about.consent["a"]["statement"] == "public-domain portrait"


@pytest.mark.parametrize("change", ["cut", "bits", "other", "weights", "nan", "half", "settings", "missing"])
def test_a_damaged_model_is_refused(tmp_path: Path, change: str) -> None:
    path = _model(tmp_path)
    tensors, data = load_file(path), path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    said = json.loads(data[8 : 8 + length])["__metadata__"]
    if change == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif change == "bits":
        path.write_bytes(struct.pack("<Q", 1 << 60) + data[8:])
    elif change == "other":
        save_file(tensors, path)
    elif change == "weights":
        save_file(dict(list(tensors.items())[1:]), path, metadata=said)
    elif change == "nan":
        tensors["encoder.inward.bias"].fill_(float("nan"))
        save_file(tensors, path, metadata=said)
    elif change == "half":
        save_file({name: one.half() for name, one in tensors.items()}, path, metadata=said)
    elif change == "settings":
        about = json.loads(said["about"])
        about["preset"]["architecture"]["width"] = 512
        save_file(tensors, path, metadata={**said, "about": json.dumps(about)})
    else:
        path.unlink()
    with pytest.raises(MissingPathError if change == "missing" else CorruptMediaError):
        load_model(tmp_path)


# --- logs


def test_crc32c_of_rfc_3720() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes([0xFF] * 32)) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283


def _records(data: bytes) -> list[bytes]:
    found = []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(data[12 : 12 + length])
        assert tfrecord(found[-1]) == data[: 16 + length]
        data = data[16 + length :]
    return found


def test_the_event_file_reads_back(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.write(7, {"loss/l1": 0.25, "held-out/ssim": -1.5})
    log.write(300, {"loss/l1": 0.125})
    (path,) = tmp_path.glob("events.out.tfevents.*")
    first, second, third = _records(path.read_bytes())
    assert b"brain.Event:2" in first
    assert b"loss/l1" in second and struct.pack("<f", 0.25) in second and struct.pack("<f", -1.5) in second
    # field 2 (step) follows the nine bytes of field 1 (wall time)
    assert second[9:11] == bytes([0x10, 7]) and third[9:12] == bytes([0x10, 0xAC, 0x02])


def test_rows_of_a_broken_off_run_are_dropped(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for step in (10, 20, 30):
        log.write(step, {"loss/l1": step / 100})
    RunLog(tmp_path, 20).write(30, {"loss/l1": 9.0})
    assert rows(tmp_path) == ["10,loss/l1,0.1", "20,loss/l1,0.2", "30,loss/l1,9"]
