"""The files of ``examples/deploy`` are consistent: paths, ports, options of pip and of ours."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.cli.settings_file import settings_of
from simcse_kit.search.address import parse_address
from simcse_kit.serving.settings import Limits
from support.commands import COMMAND
from support.deploy import DEPLOY, ROOT, dockerfile, environment, health_check, only, serve_options
from support.server import wait_until

yaml = pytest.importorskip("yaml")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PREFIX = "SIMCSE_KIT_SERVE_"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def option_names() -> set[str]:
    """Long names of the options of serve."""
    return {name for one in serve_options() if one.param_type_name == "option" for name in one.opts}


# Dockerfile


def test_the_image_is_small_and_not_roots() -> None:
    names = [one.name for one in dockerfile()]
    assert re.fullmatch(r"python:3\.\d+-slim", only("FROM").text)
    user = only("USER").text
    assert any(re.search(rf"useradd .*\b{user}\b", one.text) for one in dockerfile() if one.name == "RUN")
    assert user not in ("root", "0")
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert not any("apt-get" in one.text for one in dockerfile())


def test_what_is_copied_is_there_and_is_all_that_the_wheel_needs() -> None:
    copied = [word for one in dockerfile() if one.name == "COPY" for word in one.words[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    assert {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "simcse_kit"} <= set(copied)


def test_pip_takes_its_options_and_the_extras_are_ours() -> None:
    create_command = pytest.importorskip("pip._internal.commands").create_command
    (command,) = [one.text.partition(" && ")[0] for one in dockerfile() if one.text.startswith("pip install")]
    options, targets = create_command("install").parse_args(shlex.split(command)[2:])
    assert options.constraints[-1] == "constraints.txt"  # pip's own configuration may name more
    (target,) = targets
    extras = re.fullmatch(r"\.\[(.*)\]", target)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_what_starts_is_our_command_with_settings_of_its_own() -> None:
    entry = only("ENTRYPOINT").words
    assert entry[0] in PROJECT["scripts"]
    assert entry[1:] == ["serve"]
    settings = [name.removeprefix(PREFIX) for name in environment() if name.startswith(PREFIX)]
    assert {f"--{name.lower().replace('_', '-')}" for name in settings} <= option_names()
    assert only("EXPOSE").text == environment()[f"{PREFIX}PORT"]


@pytest.mark.slow  # the image's server as a process
def test_entry_point_and_health_check_run(model: SimCSE, sentences: list[str], tmp_path: Path) -> None:
    model.save(tmp_path / "models" / "mine")
    SentenceIndex.build(SimCSE(tmp_path / "models" / "mine"), sentences).save(tmp_path / "indexes" / "tickets")
    (tmp_path / "keys").write_text("a-key\n")
    targets = f"{tmp_path}/models/mine {tmp_path}/indexes/tickets"
    port = str(_free_port())
    settings = environment() | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    given = os.environ | settings | {f"{PREFIX}PORT": port, f"{PREFIX}TARGETS": targets, "PYTHONPATH": str(ROOT)}
    check = [sys.executable if word == "python" else word for word in health_check()]

    def healthy() -> bool:
        return subprocess.run(check, env=given, capture_output=True).returncode == 0

    assert not healthy()
    more = ["--api-key-file", str(tmp_path / "keys")]
    server = subprocess.Popen([*COMMAND, *only("ENTRYPOINT").words[1:], *more], env=given)
    try:
        wait_until(healthy, "a healthy server", 120)
        server.terminate()
        assert server.wait(60) in (0, -signal.SIGTERM)  # uvicorn ends by the signal, when all is closed
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow  # imports torch
def test_the_build_stops_where_torch_brings_cuda() -> None:
    import torch

    (command,) = [one.text.partition(" && ")[2] for one in dockerfile() if one.text.startswith("pip install")]
    word, *rest = shlex.split(command)
    done = subprocess.run([word.replace("python", sys.executable), *rest], capture_output=True, text=True)
    assert done.returncode == (1 if torch.version.cuda else 0)


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# compose.yaml


def test_compose_and_the_dockerfile_agree(compose: dict[str, Any]) -> None:
    server = compose["services"]["server"]
    context = (DEPLOY / server["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / server["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    assert set(server["build"]["args"]) == {one.text.partition("=")[0] for one in dockerfile() if one.name == "ARG"}
    assert {volume.split(":")[1] for volume in server["volumes"]} == set(only("VOLUME").words)
    assert [port.rpartition(":")[2] for port in server["ports"]] == [only("EXPOSE").text]
    options = {word for word in server["command"] if word.startswith("--")}
    options |= {f"--{name.removeprefix(PREFIX).lower().replace('_', '-')}" for name in server["environment"]}
    assert options - {"--targets"} <= option_names()


def test_the_services_find_each_other(compose: dict[str, Any]) -> None:
    services, server = compose["services"], compose["services"]["server"]
    targets = server["environment"][f"{PREFIX}TARGETS"].split()
    addresses = [parse_address(target.partition("=")[2] or target) for target in targets]
    (milvus,) = [one.uri for one in addresses if one.uri is not None]
    assert re.fullmatch(r"http://(\w+):19530", milvus)[1] in services  # type: ignore[index]
    assert "healthcheck" in services["milvus"]
    assert server["depends_on"] == {"milvus": {"condition": "service_healthy"}}
    named = {volume.split(":")[0] for one in services.values() for volume in one["volumes"] if volume[0] not in "./"}
    assert named == set(compose["volumes"])
    assert set(server["secrets"]) == set(compose["secrets"])
    assert f"/run/secrets/{server['secrets'][0]}" in server["command"]
    assert int(server["stop_grace_period"].removesuffix("s")) > Limits().seconds


# systemd


def unit() -> dict[str, str]:
    """The last value of each key."""
    lines = (DEPLOY / "simcse-kit.service").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_unit_starts_our_command_with_options_and_a_file_that_it_takes() -> None:
    program, command, *rest = unit()["ExecStart"].split()
    assert (Path(program).name, command) == ("simcse-kit", "serve")
    assert {word for word in rest if word.startswith("--")} <= option_names()
    assert Path(rest[rest.index("--config") + 1]).name == "serve.toml"
    settings = settings_of(DEPLOY / "serve.toml", serve_options())
    state = f"/var/lib/{unit()['StateDirectory']}/"
    assert all(target.partition("=")[2].startswith(state) or target.startswith(state) for target in settings["targets"])
    assert int(unit()["TimeoutStopSec"]) > Limits().seconds
    assert int(unit()["LimitNOFILE"]) > Limits().connections


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit_and_finds_it_safe(tmp_path: Path) -> None:
    text = (DEPLOY / "simcse-kit.service").read_text()
    place = tmp_path / "simcse-kit.service"
    place.write_text(text.replace("/opt/simcse-kit/bin/simcse-kit", sys.executable))
    verified = subprocess.run(["systemd-analyze", "verify", place], capture_output=True, text=True)
    assert (verified.returncode, [line for line in verified.stderr.splitlines() if place.name in line]) == (0, [])
    place.write_text(place.read_text().replace("ProtectSystem=strict", "ProtectSystem=striked"))
    wrong = subprocess.run(["systemd-analyze", "verify", place], capture_output=True, text=True)
    assert "striked" in wrong.stderr  # a misspelling is found


# nginx


def test_nginx_waits_longer_than_the_server_and_lets_through_what_it_reads() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    assert float(re.findall(r"proxy_read_timeout (\d+)s", text)[0]) > Limits().seconds
    assert int(re.findall(r"client_max_body_size (\d+)m", text)[0]) << 20 == Limits().body_bytes
    root = settings_of(DEPLOY / "serve.toml", serve_options())["root_path"]
    assert f"location {root}/ {{" in text
