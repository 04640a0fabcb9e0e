"""Power transitions that do not end: the devices by their instance, the requests and the drivers that have them."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import pytest

from tests.crashes.crash_world import SYSTEM_THREAD, CrashWorld, analysed, shown
from tests.forge.io import StackLocation, add_device, add_driver, add_irp
from tests.forge.layout import windows
from tests.forge.structure import Structure

INSTANCE = "PCI\\VEN_8086&DEV_1533&SUBSYS_00008086&REV_03\\4&1A2B"


class PowerCrash:
    """A crash in which bad.sys holds up power requests of its devices."""

    def __init__(self, build: int = 19041) -> None:
        self.world = CrashWorld(build)
        for name in ("nt!PopIrpWatchdogBugcheck", "nt!KiExecuteAllDpcs", "bad!DispatchPower"):
            self.world.function(name)
        self.machine = self.world.open()
        self.machine.layouts = windows(build, "hardware")
        scene = self.world.scene
        image, default = scene.images["bad"], self.world.address("nt!KiExecuteAllDpcs")
        self.driver = add_driver(self.machine, scene.objects, "\\Driver\\bad", image.base, image.size, {}, default)

    def device(self, instance: str = INSTANCE, service: str = "bad") -> Structure:
        """A physical device object with its node."""
        device = add_device(self.machine, self.world.scene.objects, self.driver, 0x22)
        node = self.machine.place("_DEVICE_NODE")
        node["PhysicalDeviceObject"], node["InstancePath"], node["ServiceName"] = device, instance, service
        self.extension(device)["DeviceNode"] = node
        return device

    def extension(self, device: Structure) -> Structure:
        return self.machine.view("_DEVOBJ_EXTENSION", device["DeviceObjectExtension"])

    def request(self, device: Structure) -> Structure:
        """A power IRP at its device's driver."""
        return add_irp(self.machine, None, [StackLocation(0x16, device, minor=2), StackLocation(0)], 1)

    def triage(self, requests: Sequence[Structure], devices: Sequence[Structure]) -> Structure:
        """nt!_TRIAGE_9F_POWER with the requests."""
        machine = self.machine
        head = machine.allocate(0x10)
        links = []
        for irp, device in zip(requests, devices):
            data = machine.place("_TRIAGE_POP_IRP_DATA")
            data["Irp"], data["Pdo"] = irp, device
            links.append(data.at("Link"))
        machine.link(head, links)
        triage = machine.place("_TRIAGE_9F_POWER")
        triage["Signature"], triage["Revision"], triage["IrpList"] = 0x8000, 1, head
        return triage

    def die(self, code: int, *parameters: int) -> CrashWorld:
        self.world.enter([*SYSTEM_THREAD, "nt!KiExecuteAllDpcs", "nt!PopIrpWatchdogBugcheck"])
        self.world.die(code, *parameters)
        return self.world


@pytest.mark.parametrize("build", [19041, 22000])
def test_a_blocked_request_has_its_device_and_its_companions(build: int, tmp_path: Path) -> None:
    crash = PowerCrash(build)
    device, other = crash.device(), crash.device("ROOT\\OTHER\\0000", "")
    requests = [crash.request(device), crash.request(other)]
    triage = crash.triage(requests, [device, other])
    found = analysed(crash.die(0x9F, 3, device.address, triage.address, requests[0].address), tmp_path)
    known = found.plug_and_play
    assert known is not None
    assert [(each.device, each.instance, each.service) for each in known.devices] == [(device.address, INSTANCE, "bad")]
    assert [(each.irp, each.device) for each in known.power_requests] == [
        (requests[0].address, device.address),
        (requests[1].address, other.address),
    ]
    assert found.bucket == "0x9F_3_IMAGE_bad.sys"
    assert found.evidence["pnp_power"].startswith("argument 3")


def test_the_lines_name_devices_and_requests(tmp_path: Path) -> None:
    crash = PowerCrash()
    device = crash.device()
    request = crash.request(device)
    triage = crash.triage([request] * 18, [device] * 18)
    lines = shown(crash.die(0x9F, 3, device.address, triage.address, request.address), tmp_path, "analyze -v")
    assert f"Device: {device.address:016x} is {INSTANCE}, service bad" in lines
    line = f"Power: the request {request.address:016x} of the device {device.address:016x} is with bad"
    assert lines.count(line) == 16
    assert "Power: 2 more requests are under way" in lines


def test_a_list_of_requests_that_is_a_loop_ends(tmp_path: Path) -> None:
    crash = PowerCrash()
    device = crash.device()
    request = crash.request(device)
    triage = crash.triage([request], [device])
    first = crash.machine.u64(triage["IrpList"])
    crash.machine.put_u64(first, first)
    found = analysed(crash.die(0x9F, 3, device.address, triage.address, request.address), tmp_path)
    assert found.plug_and_play is not None and len(found.plug_and_play.power_requests) == 1
    assert found.unknown["pnp_list"]


def test_the_devices_that_plug_and_play_waits_for(tmp_path: Path) -> None:
    crash = PowerCrash()
    device = crash.device()
    machine = crash.machine
    queue, request = (
        machine.place("_TRIAGE_PNP_DEVICE_COMPLETION_QUEUE"),
        machine.place("_TRIAGE_PNP_DEVICE_COMPLETION_REQUEST"),
    )
    request["DeviceNode"] = crash.extension(device)["DeviceNode"]
    machine.link(queue.at("DispatchedList"), [request.at("ListEntry")])
    triage = machine.place("_TRIAGE_9F_PNP")
    triage["CompletionQueue"] = queue
    found = analysed(crash.die(0x9F, 4, 0x12C, 0, triage.address), tmp_path)
    assert found.plug_and_play is not None
    assert [each.instance for each in found.plug_and_play.devices] == [INSTANCE]


def test_a_device_that_keeps_the_machine_awake(tmp_path: Path) -> None:
    crash = PowerCrash()
    device = crash.device()
    framework = crash.machine.place("_TRIAGE_POP_FX_DEVICE")
    framework["DeviceNode"] = crash.extension(device)["DeviceNode"]
    found = analysed(crash.die(0x15F, 2, framework.address, 0, 0), tmp_path)
    assert found.plug_and_play is not None
    assert [each.service for each in found.plug_and_play.devices] == ["bad"]


def test_what_is_no_device_has_its_reason(tmp_path: Path) -> None:
    crash = PowerCrash()
    request = crash.request(crash.device())
    found = analysed(crash.die(0x9F, 3, 0xFFFFAB0171234000, 0xFFFFAB0171235000, request.address), tmp_path)
    assert found.plug_and_play is None
    assert found.unknown["pnp_device"].startswith("argument 2")
    assert found.unknown["pnp_power"].startswith("argument 3")
